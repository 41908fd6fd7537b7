// Reads a kernel's `weight` that is bound as words of 16 bytes, by the index of a 32-bit word.
alias WeightWord = vec4u;

fn load_words(word: u32) -> vec4u {
  return weight[word / 4u];
}

fn load_scale(at: SliceAt) -> vec2f {
  let word = scale_word(at);
  return scale_of(load_words(word)[word % 4u]);
}
