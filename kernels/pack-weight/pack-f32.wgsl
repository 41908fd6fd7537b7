const UNIT = 1u;

fn pack(unit: u32, count: u32, values: ptr<function, array<vec4f, UNIT>>) {
  weight[unit] = (*values)[0];
}
