// The i-th four consecutive weights of the kernel's `weight`, as stored for q4. A slice of 32 takes 5 words: its scale and
// its minimum, each the upper half of an f32, then 4 bits a weight, minimum + code · scale. The product is exact.
alias WeightWord = u32;
const GROUP_WORDS = 5u;

fn load_weights(i: u32) -> vec4f {
  let at = (i / 8u) * GROUP_WORDS;
  let header = weight[at];
  let codes = (vec4u(weight[at + 1u + (i % 8u) / 2u] >> (i % 2u * 16u)) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u);
  return fma(vec4f(codes), vec4f(bitcast<f32>(header << 16u)), vec4f(bitcast<f32>(header & 0xFFFF0000u)));
}
