// Reads the kernel's `weight` in q4. A slice of 32 takes 5 words: its scale and its minimum, each the upper half of an f32,
// then 4 bits per weight: minimum + code · scale. The product is exact.
alias WeightWord = u32;
const GROUP_WORDS = 5u;

// The i-th four consecutive weights.
fn load_weights(i: u32) -> vec4f {
  return four_codes(weight[(i / 8u) * GROUP_WORDS + 1u + (i % 8u) / 2u] >> (i % 2u * 16u), load_scale(i / 8u));
}

// The i-th eight weights of a slice of 32; `scale` is what the whole slice shares.
fn load_eight(slice: u32, i: u32, shared_scale: vec2f) -> Eight {
  let codes = weight[slice * GROUP_WORDS + 1u + i];
  return Eight(four_codes(codes, shared_scale), four_codes(codes >> 16u, shared_scale));
}

fn load_scale(slice: u32) -> vec2f {
  let header = weight[slice * GROUP_WORDS];
  return vec2f(bitcast<f32>(header << 16u), bitcast<f32>(header & 0xFFFF0000u));
}

fn four_codes(word: u32, scale: vec2f) -> vec4f {
  let codes = (vec4u(word) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u);
  return fma(vec4f(codes), vec4f(scale.x), vec4f(scale.y));
}
