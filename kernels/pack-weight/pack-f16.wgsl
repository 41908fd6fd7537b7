const UNIT = 2u;

fn pack(at: SliceAt, first: u32, count: u32, values: ptr<function, array<vec4f, UNIT>>) {
  weight[at + first / 2u * WORD_STRIDE] = vec4u(two_halves((*values)[0]), two_halves((*values)[1]));
}

fn two_halves(four: vec4f) -> vec2u {
  return vec2u(
    to_float16(four.x) | (to_float16(four.y) << 16u),
    to_float16(four.z) | (to_float16(four.w) << 16u),
  );
}
