// A slice of weights in registers, as it lies in memory.
struct SliceWords {
  // for i < 8
  word$i: vec4f,
  // end
}

fn load_slice(at: SliceAt) -> SliceWords {
  return SliceWords(
    // for i < 8
    weight[at + $iu * WORD_STRIDE],
    // end
  );
}

fn eights_of(words: SliceWords) -> Eights {
  return Eights(
    Eight(words.word0, words.word1),
    Eight(words.word2, words.word3),
    Eight(words.word4, words.word5),
    Eight(words.word6, words.word7),
  );
}
