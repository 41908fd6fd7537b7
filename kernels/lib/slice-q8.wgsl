// A slice of weights in registers, as it lies in memory.
struct SliceWords {
  scale: u32,
  first: vec4u,
  second: vec4u,
}

fn load_slice(at: SliceAt) -> SliceWords {
  let scale = scale_word(at);
  return SliceWords(load_words(scale)[scale % 4u], load_words(code_word(at, 0u)), load_words(code_word(at, 4u)));
}

fn eights_of(words: SliceWords) -> Eights {
  let scale = scale_of(words.scale);
  return Eights(
    Eight(four_bytes(words.first.x, scale), four_bytes(words.first.y, scale)),
    Eight(four_bytes(words.first.z, scale), four_bytes(words.first.w, scale)),
    Eight(four_bytes(words.second.x, scale), four_bytes(words.second.y, scale)),
    Eight(four_bytes(words.second.z, scale), four_bytes(words.second.w, scale)),
  );
}
