// Decodes q8. A slice of 32 has a scale, an f32 with 16 significant bits so that its products are exact, and a byte per
// weight, from −127 to 127.
const CODE_WORDS = 8u;

fn scale_of(word: u32) -> vec2f {
  return vec2f(bitcast<f32>(word), 0.0);
}

fn four_bytes(word: u32, scale: vec2f) -> vec4f {
  return scale.x * vec4f(bitcast<vec4i>(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}
