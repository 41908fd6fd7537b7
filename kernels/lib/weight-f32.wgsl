// Reads the kernel's `weight` in f32.
alias WeightWord = vec4f;

// The i-th four consecutive weights.
fn load_weights(i: u32) -> vec4f {
  return weight[i];
}

// The i-th eight weights of a slice of 32; `scale` is what the whole slice shares.
fn load_eight(slice: u32, i: u32, shared_scale: vec2f) -> Eight {
  let at = slice * 8u + i * 2u;
  return Eight(weight[at], weight[at + 1u]);
}

fn load_scale(slice: u32) -> vec2f {
  return vec2f();
}
