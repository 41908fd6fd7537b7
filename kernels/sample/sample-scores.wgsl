// The first of four kernels that draw tokens by many workgroups: the logits after the repetition penalty, and the best of each
// part of the vocabulary. Workgroups: [parts, rows].
override VOCAB: u32;
override PART: u32; // tokens in a part

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> sampling: array<Sampling>; // [rows]
@group(0) @binding(2) var<storage, read> logits: array<f32>; // [rows, VOCAB]
@group(0) @binding(3) var<storage, read> counts: array<u32>; // [slots, VOCAB]
@group(0) @binding(4) var<storage, read_write> scores: array<f32>; // [rows, VOCAB]
@group(0) @binding(5) var<storage, read_write> parts: array<Best>; // [rows, parts]

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y;
  let penalty = sampling[row].penalty;
  let counted = run.streams[row].slot * VOCAB;
  var best = Best(0.0, NO_TOKEN, 0u);
  let end = min(VOCAB, (group.x + 1u) * PART);
  for (var v = group.x * PART + lane; v < end; v += 256u) {
    var score = logits[row * VOCAB + v];
    if (penalty != 1.0 && counts[counted + v] != 0u) {
      score = penalised(score, penalty);
    }
    scores[row * VOCAB + v] = score;
    best = better(best, Best(score, v, select(1u, 0u, is_finite(score))));
  }
  find_best(best, lane);
  if (lane == 0u) {
    parts[row * groups.x + group.x] = bests[0];
  }
}
