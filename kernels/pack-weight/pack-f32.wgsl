const UNIT = 1u;

fn pack(at: SliceAt, first: u32, count: u32, values: ptr<function, array<vec4f, UNIT>>) {
  weight[at + first * WORD_STRIDE] = (*values)[0];
}
