// A slice of weights in registers, as it lies in memory.
struct SliceWords {
  scale: u32,
  codes: vec4u,
}

fn load_slice(at: SliceAt) -> SliceWords {
  let scale = scale_word(at);
  return SliceWords(load_words(scale)[scale % 4u], load_words(code_word(at, 0u)));
}

fn eights_of(words: SliceWords) -> Eights {
  let scale = scale_of(words.scale);
  return Eights(
    eight_codes(words.codes.x, scale),
    eight_codes(words.codes.y, scale),
    eight_codes(words.codes.z, scale),
    eight_codes(words.codes.w, scale),
  );
}
