// ln softmax(logits)[v] of the row's own token, then of the TOP most likely tokens, largest logit first, among equals the
// lower token first. One workgroup per row.
override VOCAB: u32;
override TOP: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> schedule: Schedule;
@group(0) @binding(2) var<storage, read> logits: array<f32>; // [rows, VOCAB]
@group(0) @binding(3) var<storage, read> results: array<u32>; // [steps, rows]: the rows' own tokens
@group(0) @binding(4) var<storage, read_write> logprobs: array<Logprob>; // [steps, rows, 1 + TOP]

var<workgroup> best_values: array<f32, 64>;
var<workgroup> best_tokens: array<u32, 64>;
var<workgroup> broken: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.x * VOCAB;
  var next = best_after(Logprob(NONE, 0.0), base, lane);
  let peak = next.value;
  var sum = 0.0;
  var failed = false;
  for (var v = lane; v < VOCAB; v += WORKGROUP) {
    let logit = logits[base + v];
    failed = failed || !is_finite(logit);
    sum += exp(logit - peak);
  }
  broken[lane] = select(0u, 1u, failed);
  let log_sum = log(workgroup_sum(sum, lane));
  if (lane == 0u) {
    for (var i = 0u; i < 64u; i++) {
      failed = failed || broken[i] != 0u;
    }
  }

  let place = schedule.step * run.rows + group.x;
  let own = results[place];
  if (lane == 0u) {
    let known = own < VOCAB && !failed;
    let logit = logits[base + min(own, VOCAB - 1u)];
    logprobs[place * (1u + TOP)] = entry(Logprob(own, logit), peak, log_sum, known);
  }
  // A bound that compilers do not know: Mesa's would write the loop out, which takes it half a minute for 20.
  let top = select(TOP, 0u, schedule.step == NONE);
  for (var i = 0u; i < top; i++) {
    if (i > 0u && i < VOCAB) {
      next = best_after(next, base, lane);
    }
    if (lane == 0u) {
      logprobs[place * (1u + TOP) + 1u + i] = entry(next, peak, log_sum, i < VOCAB && !failed);
    }
  }
}

fn before(a: Logprob, b: Logprob) -> bool {
  return a.value > b.value || (a.value == b.value && a.token < b.token);
}

// The most likely token among those that come after `last`, with its logit; among all if `last` is none.
fn best_after(last: Logprob, base: u32, lane: u32) -> Logprob {
  var best = Logprob(NONE, 0.0);
  for (var v = lane; v < VOCAB; v += WORKGROUP) {
    let candidate = Logprob(v, logits[base + v]);
    if ((last.token == NONE || before(last, candidate)) && (best.token == NONE || before(candidate, best))) {
      best = candidate;
    }
  }
  best_values[lane] = best.value;
  best_tokens[lane] = best.token;
  workgroupBarrier();
  for (var i = 0u; i < 64u; i++) {
    let candidate = Logprob(best_tokens[i], best_values[i]);
    if (candidate.token != NONE && (best.token == NONE || before(candidate, best))) {
      best = candidate;
    }
  }
  workgroupBarrier();
  return best;
}
