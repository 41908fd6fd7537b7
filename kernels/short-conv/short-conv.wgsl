// c[t] = x[t] + b + Σ_i w[i] ⊙ x[t − (TAPS − 1) + i]: causal, depthwise. Inputs from before the pass are in the stream's
// tail.
override D: u32;
override TAPS: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<uniform> block: Block;
@group(0) @binding(2) var<storage, read> mixed: array<f32>; // [rows, 2, D]: x first
@group(0) @binding(3) var<storage, read> state: array<f32>; // tail at its head: [slots, layers, TAPS − 1 …, D]
@group(0) @binding(4) var<storage, read> conv: array<f32>; // [TAPS + 1, D]: taps oldest first, then bias
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [rows, D]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let d = id.x;
  let row = id.y;
  if (d >= D) {
    return;
  }
  let t = row % run.length;
  let tail = run.streams[row / run.length].slot * SLOT_STRIDE + block.layer * LAYER_STRIDE;
  let x = mixed[row * 2u * D + d];
  var sum = conv[TAPS * D + d];
  for (var i = 0u; i < TAPS; i++) {
    let back = TAPS - 1u - i;
    var value = x;
    if (back > t) {
      value = state[tail + (t + i) * D + d];
    } else if (back > 0u) {
      value = mixed[(row - back) * 2u * D + d];
    }
    sum = fma(conv[i * D + d], value, sum);
  }
  out[row * D + d] = x + sum;
}
