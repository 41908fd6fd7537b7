// What q8 and q4 share. WGSL's division is not exact, so every value that decides a bit is computed by exact f32
// operations: the bits are the same on every device.
alias WeightWord = u32; // threads that write one word must not touch its neighbours
const UNIT = 8u; // vec4s in a slice

// Smaller values count as zero and larger ones as the bound, so that everything here stays within f32's normal numbers.
const TINY = 0x1p-80;
const BOUND = 0x1p100;

fn tame(values: vec4f) -> vec4f {
  return select(clamp(values, vec4f(-BOUND), vec4f(BOUND)), vec4f(), abs(values) < vec4f(TINY));
}

// The smallest scale with `levels` · scale ≥ `range`, among the f32s whose bits are a multiple of `step`.
fn covering_scale(range: f32, levels: f32, step: u32) -> f32 {
  if (range == 0.0) {
    return 0.0;
  }
  var bits = (bitcast<u32>(range / levels) & ~(step - 1u)) - step;
  while (levels * bitcast<f32>(bits) < range) {
    bits += step;
  }
  return bitcast<f32>(bits);
}
