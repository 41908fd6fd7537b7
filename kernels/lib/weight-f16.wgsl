// The i-th four consecutive weights of the kernel's `weight`, as stored for f16: two halves a word, so no `shader-f16`
// is needed.
alias WeightWord = vec2u;

fn load_weights(i: u32) -> vec4f {
  let packed = weight[i];
  return vec4f(unpack2x16float(packed.x), unpack2x16float(packed.y));
}
