// LayerNorm's mean and 1 / sqrt(var + 1e-5) of `size` values of the kernel's `source` from `base`: two passes, one order.
fn row_statistics(base: u32, size: u32, lane: u32) -> vec2f {
  var sum = 0.0;
  for (var i = lane; i < size; i += WORKGROUP) {
    sum += source[base + i];
  }
  let mean = workgroup_sum(sum, lane) / f32(size);
  var squares = 0.0;
  for (var i = lane; i < size; i += WORKGROUP) {
    let centred = source[base + i] - mean;
    squares = fma(centred, centred, squares);
  }
  return vec2f(mean, inverseSqrt(workgroup_sum(squares, lane) / f32(size) + 1e-5));
}
