// The second of two kernels that give log-probabilities by many workgroups: from the candidates of all parts to what `logprobs` gives,
// with the same bits. Workgroups: [rows].
override VOCAB: u32;
override PARTS: u32;
override TOP: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> schedule: Schedule;
@group(0) @binding(2) var<storage, read> logits: array<f32>; // [rows, VOCAB]
@group(0) @binding(3) var<storage, read> results: array<u32>; // [steps, rows]: the rows' own tokens
@group(0) @binding(4) var<storage, read> candidates: array<Best>; // [rows, PARTS, TOP]
@group(0) @binding(5) var<storage, read_write> logprobs: array<Logprob>; // [steps, rows, 1 + TOP]

var<private> base: u32 = 0u;
var<private> peak: f32 = 0.0;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  base = group.x * VOCAB;
  let first = group.x * PARTS * TOP;
  var next = best_after(Best(0.0, NO_TOKEN, 0u), first, lane);
  let failed = next.broken != 0u;
  peak = next.value;
  let log_sum = log(strided_sum(lane));

  let place = schedule.step * run.rows + group.x;
  let own = results[place];
  if (lane == 0u) {
    let logit = logits[base + min(own, VOCAB - 1u)];
    logprobs[place * (1u + TOP)] = entry(Logprob(own, logit), peak, log_sum, own < VOCAB && !failed);
  }
  let top = select(TOP, 0u, schedule.step == NONE); // as in `logprobs`, not known to compilers
  for (var i = 0u; i < top; i++) {
    if (i > 0u && i < VOCAB) {
      workgroupBarrier();
      next = best_after(next, first, lane);
    }
    if (lane == 0u) {
      let known = i < VOCAB && !failed;
      logprobs[place * (1u + TOP) + 1u + i] = entry(Logprob(next.token, next.value), peak, log_sum, known);
    }
  }
}

// The best of the row's candidates that come after `last`; of all if `last` is none.
fn best_after(last: Best, first: u32, lane: u32) -> Best {
  var best = Best(0.0, NO_TOKEN, 0u);
  for (var i = lane; i < PARTS * TOP; i += 256u) {
    let candidate = candidates[first + i];
    if (last.token == NO_TOKEN || comes_before(last, candidate)) {
      best = better(best, candidate);
    }
  }
  find_best(best, lane);
  workgroupBarrier();
  return bests[0];
}

fn input(v: u32) -> f32 {
  return logits[base + v];
}

fn term(logit: f32) -> f32 {
  return exp(logit - peak);
}
