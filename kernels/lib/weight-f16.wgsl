// Reads the kernel's `weight` in f16: two halves per word, so that `shader-f16` is not needed.
alias WeightWord = vec4u;

// The i-th four consecutive weights.
fn load_weights(i: u32) -> vec4f {
  let words = weight[i / 2u];
  return four_halves(select(words.xy, words.zw, i % 2u == 1u));
}

// The i-th eight weights of a slice of 32; `scale` is what the whole slice shares.
fn load_eight(slice: u32, i: u32, shared_scale: vec2f) -> Eight {
  let words = weight[slice * 4u + i];
  return Eight(four_halves(words.xy), four_halves(words.zw));
}

fn load_scale(slice: u32) -> vec2f {
  return vec2f();
}

fn four_halves(words: vec2u) -> vec4f {
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}
