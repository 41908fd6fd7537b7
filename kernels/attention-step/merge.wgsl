// Merges the results of the splits up to a row's position, in order. One thread per value of a head: the only quotient by
// its sum, as each is in attention.wgsl.
override SPLITS: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> schedule: Schedule;
@group(0) @binding(2) var<storage, read> partials: array<f32>; // [rows, HEADS, SPLITS, 2 + SIZE]
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // [rows, HEADS SIZE]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  if (id.x >= HEADS * SIZE) {
    return;
  }
  let position = run.streams[row / run.length].position + schedule.step + row % run.length;
  let splits = min(position / SPLIT + 1u, SPLITS);
  var peak = LOWEST;
  var sum = 0.0;
  var value = 0.0;
  for (var split = 0u; split < splits; split++) {
    let base = ((row * HEADS + id.x / SIZE) * SPLITS + split) * (2u + SIZE);
    let split_peak = partials[base];
    let highest = max(peak, split_peak);
    let by = rescale(peak, highest);
    let split_by = rescale(split_peak, highest);
    sum = fma(sum, by, partials[base + 1u] * split_by);
    value = fma(value, by, partials[base + 2u + id.x % SIZE] * split_by);
    peak = highest;
  }
  out[row * HEADS * SIZE + id.x] = value / sum;
}
