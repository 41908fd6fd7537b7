// h[row] = E[tokens[row]], and counts[slot, token] += 1: a token counts for the repetition penalty once it is fed. One
// workgroup per row. The first workgroup also advances the step of the pass; this kernel runs first and does not read the
// step.
// A table too large for one binding is bound in parts, one dispatch each: each looks up its own rows, and the first does
// the rest.
override D: u32;
override K4: u32; // vec4s in a padded row of the table
override VOCAB: u32;
override FIRST: u32; // first row of the part
override ROWS: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> tokens: array<u32>; // [rows]
@group(0) @binding(2) var<storage, read> weight: array<WeightWord>; // [ROWS, K4]
@group(0) @binding(3) var<storage, read_write> counts: array<atomic<u32>>; // [slots, VOCAB]
@group(0) @binding(4) var<storage, read_write> schedule: Schedule;
@group(0) @binding(5) var<storage, read_write> h: array<f32>; // [rows, D]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let token = tokens[row];
  if (FIRST == 0u && lane == 0u) {
    atomicAdd(&counts[run.streams[row / run.length].slot * VOCAB + token], 1u);
    if (row == 0u) {
      schedule.step += 1u;
    }
  }
  if (token < FIRST || token - FIRST >= ROWS) {
    return;
  }
  for (var i = lane; i < K4; i += 64u) {
    let values = load_four(slice_at(token - FIRST, i / 8u, K4 / 8u), i % 8u);
    for (var c = 0u; c < min(4u, D - min(D, i * 4u)); c++) {
      h[row * D + i * 4u + c] = values[c];
    }
  }
}
