// ln softmax(logits)[v] of the row's own token, then of the TOP most likely tokens, largest logit first, among equals the
// lower token first. One workgroup per row.
override VOCAB: u32;
override TOP: u32;

struct Logprob {
  token: u32,
  value: f32,
}

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> schedule: Schedule;
@group(0) @binding(2) var<storage, read> logits: array<f32>; // [rows, VOCAB]
@group(0) @binding(3) var<storage, read> results: array<u32>; // [steps, rows]: the rows' own tokens
@group(0) @binding(4) var<storage, read_write> logprobs: array<Logprob>; // [steps, rows, 1 + TOP]

const NO_TOKEN = 0xFFFFFFFFu;

var<workgroup> best_values: array<f32, 64>;
var<workgroup> best_tokens: array<u32, 64>;
var<workgroup> broken: atomic<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.x * VOCAB;
  var next = best_after(Logprob(NO_TOKEN, 0.0), base, lane);
  let peak = next.value;
  var sum = 0.0;
  for (var v = lane; v < VOCAB; v += WORKGROUP) {
    let logit = logits[base + v];
    if (!is_finite(logit)) {
      atomicStore(&broken, 1u);
    }
    sum += exp(logit - peak);
  }
  let log_sum = log(workgroup_sum(sum, lane));
  let failed = atomicLoad(&broken) != 0u;

  let place = schedule.step * run.rows + group.x;
  let own = results[place];
  if (lane == 0u) {
    let known = own < VOCAB && !failed;
    let logit = logits[base + min(own, VOCAB - 1u)];
    logprobs[place * (1u + TOP)] = entry(Logprob(own, logit), peak, log_sum, known);
  }
  for (var i = 0u; i < TOP; i++) {
    if (i > 0u && i < VOCAB) {
      next = best_after(next, base, lane);
    }
    if (lane == 0u) {
      logprobs[place * (1u + TOP) + 1u + i] = entry(next, peak, log_sum, i < VOCAB && !failed);
    }
  }
}

// No probability is above 1, though a device's log(1) may be off by 2⁻²¹.
fn entry(logit: Logprob, peak: f32, log_sum: f32, known: bool) -> Logprob {
  if (!known) {
    return Logprob(NO_TOKEN, 0.0);
  }
  return Logprob(logit.token, min(logit.value - peak - log_sum, 0.0));
}

fn before(a: Logprob, b: Logprob) -> bool {
  return a.value > b.value || (a.value == b.value && a.token < b.token);
}

// The most likely token among those that come after `last`, with its logit; among all if `last` is none.
fn best_after(last: Logprob, base: u32, lane: u32) -> Logprob {
  var best = Logprob(NO_TOKEN, 0.0);
  for (var v = lane; v < VOCAB; v += WORKGROUP) {
    let candidate = Logprob(v, logits[base + v]);
    if ((last.token == NO_TOKEN || before(last, candidate)) && (best.token == NO_TOKEN || before(candidate, best))) {
      best = candidate;
    }
  }
  best_values[lane] = best.value;
  best_tokens[lane] = best.token;
  workgroupBarrier();
  for (var i = 0u; i < 64u; i++) {
    let candidate = Logprob(best_tokens[i], best_values[i]);
    if (candidate.token != NO_TOKEN && (best.token == NO_TOKEN || before(candidate, best))) {
      best = candidate;
    }
  }
  workgroupBarrier();
  return best;
}
