// The same number, but no compiler sees how it was computed. So fast maths cannot make a quotient a product, fuse a product
// with what is added to it, or share a reciprocal, in one kernel and not in another. `key`: bits of a NaN that no kernel
// computes. Two numbers sealed with different keys are different numbers to a compiler.
const SEAL = 0x7FC1E5A0u;

fn sealed(x: f32, key: u32) -> f32 {
  let bits = bitcast<u32>(x);
  return bitcast<f32>(bits ^ u32(bits == key));
}

fn sealed4(x: vec4f, key: u32) -> vec4f {
  let bits = bitcast<vec4u>(x);
  return bitcast<vec4f>(bits ^ vec4u(bits == vec4u(key)));
}
