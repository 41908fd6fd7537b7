// The input of kernels whose products all have the same one, of all slices of W: shared memory that the kernel fills.
var<workgroup> input: array<vec4f, K4>;

fn input4(i: u32) -> vec4f {
  return input[input_place(i)];
}

fn slices_of(first: u32) -> u32 {
  return SLICES;
}

fn input_start(first: u32) -> u32 {
  return 0u;
}
