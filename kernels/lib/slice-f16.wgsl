// A slice of weights in registers, as it lies in memory.
struct SliceWords {
  // for i < 4
  word$i: vec4u,
  // end
}

fn load_slice(at: SliceAt) -> SliceWords {
  return SliceWords(
    // for i < 4
    weight[at + $iu * WORD_STRIDE],
    // end
  );
}

fn eights_of(words: SliceWords) -> Eights {
  return Eights(
    // for i < 4
    eight_halves(words.word$i),
    // end
  );
}
