// Decodes q4. A slice of 32 has a scale and a minimum, each the upper half of an f32, and 4 bits per weight: minimum + code
// · scale. The product is exact.
const CODE_WORDS = 4u;

fn scale_of(word: u32) -> vec2f {
  return vec2f(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xFFFF0000u));
}

fn eight_codes(word: u32, scale: vec2f) -> Eight {
  return Eight(four_codes(word, scale), four_codes(word >> 16u, scale));
}

fn four_codes(word: u32, scale: vec2f) -> vec4f {
  let codes = (vec4u(word) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u);
  return fma(vec4f(codes), vec4f(scale.x), vec4f(scale.y));
}
