// The i-th four consecutive weights of the kernel's `weight`, as stored for f32.
alias WeightWord = vec4f;

fn load_weights(i: u32) -> vec4f {
  return weight[i];
}
