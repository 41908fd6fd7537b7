// loss[row] = ln Σ_v e^{logits[row, v]} − logits[row, target], in nats. One workgroup per row.
override VOCAB: u32;

@group(0) @binding(0) var<storage, read> source: array<f32>; // logits [rows, VOCAB]
@group(0) @binding(1) var<storage, read> targets: array<u32>; // [rows]
@group(0) @binding(2) var<storage, read_write> loss: array<f32>; // [rows]

var<workgroup> largest: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.x * VOCAB;
  var peak = source[base];
  for (var v = lane; v < VOCAB; v += WORKGROUP) {
    peak = max(peak, source[base + v]);
  }
  largest[lane] = peak;
  workgroupBarrier();
  for (var i = 0u; i < 64u; i++) {
    peak = max(peak, largest[i]);
  }
  var sum = 0.0;
  for (var v = lane; v < VOCAB; v += WORKGROUP) {
    sum += exp(source[base + v] - peak);
  }
  let total = workgroup_sum(sum, lane);
  if (lane == 0u) {
    loss[group.x] = log(total) + peak - source[base + targets[group.x]];
  }
}
