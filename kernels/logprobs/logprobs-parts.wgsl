// The first of two kernels that give log-probabilities by many workgroups: the TOP largest logits of each part of the vocabulary.
// Workgroups: [parts, rows].
override VOCAB: u32;
override PART: u32; // tokens in a part
override TOP: u32;

@group(0) @binding(0) var<storage, read> logits: array<f32>; // [rows, VOCAB]
@group(0) @binding(1) var<storage, read_write> candidates: array<Best>; // [rows, parts, TOP]

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let base = group.y * VOCAB;
  let end = min(VOCAB, (group.x + 1u) * PART);
  var last = Best(0.0, NO_TOKEN, 0u);
  let top = select(TOP, 0u, groups.y == NO_TOKEN); // as in `logprobs`, not known to compilers
  for (var i = 0u; i < top; i++) {
    var best = Best(0.0, NO_TOKEN, 0u);
    for (var v = group.x * PART + lane; v < end; v += 256u) {
      let logit = logits[base + v];
      let candidate = Best(logit, v, select(1u, 0u, is_finite(logit)));
      if (i == 0u || (last.token != NO_TOKEN && comes_before(last, candidate))) {
        best = better(best, candidate);
      }
    }
    find_best(best, lane);
    workgroupBarrier();
    last = bests[0];
    if (lane == 0u) {
      candidates[(group.y * groups.x + group.x) * TOP + i] = last;
    }
    workgroupBarrier();
  }
}
