// Reads the kernel's `weight` in q4, four words at a time.

// The i-th four weights of a slice.
fn load_four(at: SliceAt, i: u32) -> vec4f {
  return four_codes(load_words(at.codes)[i / 2u] >> (i % 2u * 16u), load_scale(at));
}

// The i-th eight weights of a slice; `scale` is what the whole slice shares.
fn load_eight(at: SliceAt, i: u32, shared_scale: vec2f) -> Eight {
  return eight_codes(load_words(at.codes)[i], shared_scale);
}
