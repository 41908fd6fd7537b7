// The one order in which every matrix product of this engine sums over K: slices of 32 consecutive k, each summed from zero
// and in order, then the slices in order. Kernels differ only in which thread computes which slice.
const SLICE4 = 8u; // vec4s in a slice

fn multiply_add(w: vec4f, x: vec4f, sum: f32) -> f32 {
  return fma(w.w, x.w, fma(w.z, x.z, fma(w.y, x.y, fma(w.x, x.x, sum))));
}

fn add_eight(w: Eight, low: vec4f, high: vec4f, sum: f32) -> f32 {
  return multiply_add(w.high, high, multiply_add(w.low, low, sum));
}
