// Weights of the kernel's `weight`, as stored for f32.
alias WeightWord = vec4f;

// The i-th four consecutive ones.
fn load_weights(i: u32) -> vec4f {
  return weight[i];
}

// The i-th eight of a slice of 32, and what all of the slice share.
fn load_eight(slice: u32, i: u32, shared_scale: vec2f) -> Eight {
  let at = slice * 8u + i * 2u;
  return Eight(weight[at], weight[at + 1u]);
}

fn load_scale(slice: u32) -> vec2f {
  return vec2f();
}
