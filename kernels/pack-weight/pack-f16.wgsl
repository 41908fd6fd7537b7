const UNIT = 1u;

fn pack(unit: u32, count: u32, values: ptr<function, array<vec4f, UNIT>>) {
  let four = (*values)[0];
  weight[unit] = vec2u(
    to_float16(four.x) | (to_float16(four.y) << 16u),
    to_float16(four.z) | (to_float16(four.w) << 16u),
  );
}
