// Reads the kernel's `weight` in q8, four words at a time.

// The i-th four weights of a slice.
fn load_four(at: SliceAt, i: u32) -> vec4f {
  return four_bytes(load_words(code_word(at, i))[i % 4u], load_scale(at));
}

// The i-th eight weights of a slice; `scale` is what the whole slice shares.
fn load_eight(at: SliceAt, i: u32, shared_scale: vec2f) -> Eight {
  let four = load_words(code_word(at, 2u * i));
  let words = select(four.xy, four.zw, i % 2u == 1u);
  return Eight(four_bytes(words.x, shared_scale), four_bytes(words.y, shared_scale));
}
