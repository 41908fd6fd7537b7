// The i-th four consecutive weights of the kernel's `weight`, as stored for q8. A slice of 32 takes 9 words: an f32 scale,
// then a byte a weight, from −127 to 127. The scale has 16 significant bits, so that its products are exact.
alias WeightWord = u32;
const GROUP_WORDS = 9u;

fn load_weights(i: u32) -> vec4f {
  let at = (i / 8u) * GROUP_WORDS;
  let bytes = bitcast<vec4i>(vec4u(weight[at + 1u + i % 8u]) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u);
  return bitcast<f32>(weight[at]) * vec4f(bytes);
}
