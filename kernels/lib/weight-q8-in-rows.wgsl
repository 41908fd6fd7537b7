// Reads the kernel's `weight` in q8.
alias WeightWord = u32;

// The i-th four weights of a slice.
fn load_four(at: SliceAt, i: u32) -> vec4f {
  return four_bytes(weight[code_word(at, i)], load_scale(at));
}

// The i-th eight weights of a slice; `scale` is what the whole slice shares.
fn load_eight(at: SliceAt, i: u32, shared_scale: vec2f) -> Eight {
  let first = code_word(at, 2u * i);
  return Eight(four_bytes(weight[first], shared_scale), four_bytes(weight[first + 1u], shared_scale));
}

fn load_scale(at: SliceAt) -> vec2f {
  return scale_of(weight[scale_word(at)]);
}
