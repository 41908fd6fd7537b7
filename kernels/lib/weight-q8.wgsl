// Reads the kernel's `weight` in q8. A slice of 32 takes 9 words: an f32 scale, then a byte per weight, from −127 to 127.
// The scale has 16 significant bits, so that its products are exact.
alias WeightWord = u32;
const GROUP_WORDS = 9u;

// The i-th four consecutive weights.
fn load_weights(i: u32) -> vec4f {
  let at = (i / 8u) * GROUP_WORDS;
  return bitcast<f32>(weight[at]) * four_bytes(weight[at + 1u + i % 8u]);
}

// The i-th eight weights of a slice of 32; `scale` is what the whole slice shares.
fn load_eight(slice: u32, i: u32, shared_scale: vec2f) -> Eight {
  let at = slice * GROUP_WORDS + 1u + 2u * i;
  return Eight(shared_scale.x * four_bytes(weight[at]), shared_scale.x * four_bytes(weight[at + 1u]));
}

fn load_scale(slice: u32) -> vec2f {
  return vec2f(bitcast<f32>(weight[slice * GROUP_WORDS]), 0.0);
}

fn four_bytes(word: u32) -> vec4f {
  return vec4f(bitcast<vec4i>(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}
