// The mean and 1 / sqrt(var + EPS) of `size` values of the kernel's `source` from `base` on, for a norm: two passes, always
// in the same order. RMSNorm takes the mean as zero. Quotients are sealed: where
// a compiler multiplies by 1 / size, it could fuse that product with the difference or the sum after it.
override EPS: f32 = 1e-5;
override RMS: bool = false;

fn row_statistics(base: u32, size: u32, lane: u32) -> vec2f {
  let first = select(size, lane, lane < WORKGROUP);
  var mean = 0.0;
  if (!RMS) {
    var sum = 0.0;
    for (var i = first; i < size; i += WORKGROUP) {
      sum += source[base + i];
    }
    mean = sealed(workgroup_sum(sum, lane) / f32(size), SEAL);
  }
  var squares = 0.0;
  for (var i = first; i < size; i += WORKGROUP) {
    let centred = source[base + i] - mean;
    squares = fma(centred, centred, squares);
  }
  let variance = sealed(workgroup_sum(squares, lane) / f32(size), SEAL);
  return vec2f(mean, inverseSqrt(variance + EPS));
}
