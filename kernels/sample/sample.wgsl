// The next token of each stream: repetition penalty → temperature → min-p → top-k → top-p → one draw (SPEC §4). One workgroup per
// row. Probabilities are whole multiples of 2⁻³¹, so that their sums, and therefore the thresholds and the draw, do not
// depend on the order of addition. Tokens that tie with the last one kept by top-k or top-p are kept too.
override VOCAB: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> schedule: Schedule;
@group(0) @binding(2) var<storage, read> sampling: array<Sampling>; // [rows]
@group(0) @binding(3) var<storage, read> logits: array<f32>; // [rows, VOCAB]
@group(0) @binding(4) var<storage, read> counts: array<u32>; // [slots, VOCAB]
@group(0) @binding(5) var<storage, read> metrics: array<vec4f>; // [steps, rows, LAYERS]: R first
@group(0) @binding(6) var<storage, read_write> tokens: array<u32>; // [rows]: fed next
@group(0) @binding(7) var<storage, read_write> results: array<u32>; // [steps, rows]; NOT_FINITE where logits or probabilities are not

var<workgroup> best_values: array<f32, 64>;
var<workgroup> best_tokens: array<u32, 64>;
var<workgroup> bins: array<atomic<u32>, 16>;
var<workgroup> masses: array<u32, 64>;

// What the score and the mass of a token depend on; the same in every thread.
struct Given {
  row: u32,
  penalty: f32,
  scale: Scale,
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let setting = sampling[row];
  var given = Given(row, setting.penalty, Scale());

  var peak = -3.4e38;
  var best = VOCAB;
  var failed = false;
  for (var v = lane; v < VOCAB; v += WORKGROUP) {
    let value = score(v, given);
    failed = failed || !is_finite(value);
    if (best == VOCAB || value > peak) {
      peak = value;
      best = v;
    }
  }
  best_values[lane] = peak;
  best_tokens[lane] = select(best, NOT_FINITE, failed);
  workgroupBarrier();
  for (var i = 0u; i < 64u; i++) {
    failed = failed || best_tokens[i] == NOT_FINITE;
    if (best_tokens[i] < VOCAB && (best_values[i] > peak || (best_values[i] == peak && best_tokens[i] < best))) {
      peak = best_values[i];
      best = best_tokens[i];
    }
  }

  let step = schedule.step;
  let temperature = temperature_of(setting, row, step);
  failed = failed || !is_finite(temperature);
  if (temperature < LEAST_NORMAL) {
    if (lane == 0u) {
      publish(row, step, select(best, NOT_FINITE, failed));
    }
    return;
  }
  given.scale = scale_of(peak, temperature);
  var sum = 0.0;
  for (var v = lane; v < VOCAB; v += WORKGROUP) {
    sum += weight_of(score(v, given), given.scale);
  }
  given.scale.inverse_sum = 1.0 / workgroup_sum(sum, lane);

  var threshold = least_key(setting, peak, temperature);
  if (setting.top_k > 0u && setting.top_k < VOCAB) {
    threshold = max(threshold, select_key(threshold, setting.top_k, false, given, lane));
  }
  if (setting.top_p < 1.0) {
    let kept = total_mass(threshold, given, lane).y;
    let wanted = max(1u, u32(setting.top_p * f32(kept)));
    threshold = max(threshold, select_key(threshold, wanted, true, given, lane));
  }

  let span = (VOCAB + 63u) / 64u;
  let kept = total_mass(threshold, given, lane);
  let random = threefry(setting.seed, vec2u(run.streams[row].position + step + 1u, setting.choice)).x;
  let target_mass = multiply_high(random, kept.y);
  failed = failed || !is_finite(given.scale.inverse_sum) || kept.y == 0u;
  if (failed) {
    if (lane == 0u) {
      publish(row, step, NOT_FINITE);
    }
  } else if (kept.x <= target_mass && target_mass < kept.x + masses[lane]) {
    // Some lane must publish, whatever the rounding: if its masses add up to less than before, it is the last one kept.
    var token = best;
    var below = kept.x;
    for (var v = lane * span; v < min(VOCAB, (lane + 1u) * span) && below <= target_mass; v++) {
      if (sort_key(score(v, given)) >= threshold) {
        let own = mass_of(score(v, given), given.scale);
        token = select(token, v, own > 0u);
        below += own;
      }
    }
    publish(row, step, token);
  }
}

// A logit after the repetition penalty.
fn score(v: u32, given: Given) -> f32 {
  let logit = logits[given.row * VOCAB + v];
  if (given.penalty == 1.0 || counts[run.streams[given.row].slot * VOCAB + v] == 0u) {
    return logit;
  }
  return penalised(logit, given.penalty);
}

// The mass of the tokens at or above `threshold`: x is the mass before this thread's span of the vocabulary, y the total.
// Leaves the mass of each span in `masses`.
fn total_mass(threshold: u32, given: Given, lane: u32) -> vec2u {
  let span = (VOCAB + 63u) / 64u;
  var own = 0u;
  for (var v = lane * span; v < min(VOCAB, (lane + 1u) * span); v++) {
    if (sort_key(score(v, given)) >= threshold) {
      own += mass_of(score(v, given), given.scale);
    }
  }
  // Before a second call, select_key has waited for those that still read the first one's masses.
  masses[lane] = own;
  workgroupBarrier();
  var sums = vec2u();
  for (var i = 0u; i < 64u; i++) {
    sums += vec2u(select(0u, masses[i], i < lane), masses[i]);
  }
  return sums;
}

// The largest key such that the tokens with this key or a larger one (among those at or above `threshold`) have a count, or
// a mass, of at least `wanted`. A radix search, four bits per round.
fn select_key(threshold: u32, wanted: u32, by_mass: bool, given: Given, lane: u32) -> u32 {
  var prefix = 0u;
  var above = 0u; // count or mass of the keys above those with the current prefix
  for (var round = 0u; round < 8u; round++) {
    let shift = 28u - 4u * round;
    if (lane < 16u) {
      atomicStore(&bins[lane], 0u);
    }
    workgroupBarrier();
    for (var v = lane; v < VOCAB; v += WORKGROUP) {
      let key = sort_key(score(v, given));
      if (key >= threshold && (round == 0u || (key >> (shift + 4u)) == prefix)) {
        var amount = 1u;
        if (by_mass) {
          amount = mass_of(score(v, given), given.scale);
        }
        atomicAdd(&bins[(key >> shift) & 15u], amount);
      }
    }
    workgroupBarrier();
    var digit = 15u;
    var found = above + atomicLoad(&bins[15]);
    while (found < wanted && digit > 0u) {
      above = found;
      digit -= 1u;
      found = above + atomicLoad(&bins[digit]);
    }
    prefix = (prefix << 4u) | digit;
    workgroupBarrier();
  }
  return prefix;
}
