// Reads the kernel's `weight` in f32.
alias WeightWord = vec4f;
const SLICE_WORDS = 8u;

// The i-th four weights of a slice.
fn load_four(at: SliceAt, i: u32) -> vec4f {
  return weight[at + i * WORD_STRIDE];
}

// The i-th eight weights of a slice; `scale` is what the whole slice shares.
fn load_eight(at: SliceAt, i: u32, shared_scale: vec2f) -> Eight {
  let first = at + i * 2u * WORD_STRIDE;
  return Eight(weight[first], weight[first + WORD_STRIDE]);
}

fn load_scale(at: SliceAt) -> vec2f {
  return vec2f();
}
