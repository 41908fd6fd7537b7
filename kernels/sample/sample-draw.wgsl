// The last of four kernels that draw tokens by many workgroups: the thresholds of top-k and top-p, and the draw. All of it is
// arithmetic of whole numbers, so no order of addition matters. A token's distance is how far its sort key lies below the
// largest one; a threshold is the largest distance that is kept. Workgroups: [rows].
override VOCAB: u32;
override PART: u32; // tokens in a part, a multiple of 1024
override PARTS: u32; // at most 256

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> schedule: Schedule;
@group(0) @binding(2) var<storage, read> sampling: array<Sampling>; // [rows]
@group(0) @binding(3) var<storage, read> scores: array<f32>; // [rows, VOCAB]
@group(0) @binding(4) var<storage, read> masses: array<u32>; // [rows, VOCAB]
@group(0) @binding(5) var<storage, read> bins: array<vec2u>; // [rows, PARTS, 256]: count, mass
@group(0) @binding(6) var<storage, read> sampled: array<SampledRow>; // [rows]
@group(0) @binding(7) var<storage, read_write> tokens: array<u32>; // [rows]: fed next
@group(0) @binding(8) var<storage, read_write> results: array<u32>; // [steps, rows]

const LISTED = 1024u;
const COUNT = 0u; // which of a pair is asked for
const MASS = 1u;

// The bin, digit or part in which a wanted sum is reached. Sums are pairs: count, mass.
struct Reached {
  at: u32,
  before: vec2u,
  upto: vec2u,
}

struct Kept {
  distance: u32,
  sum: vec2u, // of the tokens that are at most as far
}

var<workgroup> reached: Reached;
var<workgroup> digit_counts: array<atomic<u32>, 256>;
var<workgroup> digit_masses: array<atomic<u32>, 256>;
var<workgroup> listed: atomic<u32>;
var<workgroup> list: array<vec2u, LISTED>; // distance, mass

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let of_row = sampled[row];
  if (of_row.drawn == 0u) {
    return;
  }
  let setting = sampling[row];
  let token_row = TokenRow(row * VOCAB, of_row.peak_key, of_row.peak_key - of_row.least_key);

  var in_bin = vec2u(); // of the bin with this invocation's number
  for (var part = 0u; part < PARTS; part++) {
    in_bin += bins[(row * PARTS + part) * 256u + lane];
  }
  let to_bin = inclusive_sum(in_bin, lane);
  var kept = Kept(0xFFFFFFFFu, scanned[255]);
  if (setting.top_k > 0u && setting.top_k < VOCAB) {
    let fewer = nearest(setting.top_k, COUNT, in_bin, to_bin, token_row, lane);
    if (setting.top_k < kept.sum.x) { // else min-p has left no more
      kept = fewer;
    }
  }
  if (setting.top_p < 1.0) {
    let wanted = max(1u, u32(setting.top_p * f32(kept.sum.y)));
    let fewer = nearest(wanted, MASS, in_bin, to_bin, token_row, lane);
    if (wanted <= kept.sum.y) { // else a rounded product is above what there is
      kept = fewer;
    }
  }

  let step = schedule.step;
  let random = threefry(setting.seed, vec2u(run.streams[row].position + step + 1u, setting.choice)).x;
  let drawn_mass = multiply_high(random, kept.sum.y);

  // The part of the vocabulary in which the sum of the masses passes what was drawn, then the token.
  atomicStore(&digit_masses[lane], 0u);
  workgroupBarrier();
  for (var first = lane; first < VOCAB; first += 1024u) {
    var own = 0u;
    for (var i = 0u; i < 1024u; i += 256u) {
      own += kept_mass(first + i, kept.distance, token_row);
    }
    if (own > 0u) {
      atomicAdd(&digit_masses[first / PART], own);
    }
  }
  workgroupBarrier();
  let in_part = vec2u(0u, atomicLoad(&digit_masses[lane]));
  reach(drawn_mass + 1u, MASS, vec2u(), in_part, inclusive_sum(in_part, lane), lane);
  workgroupBarrier();
  let span = PART / 256u;
  let first = reached.at * PART + lane * span;
  var own = 0u;
  for (var i = 0u; i < span; i++) {
    own += kept_mass(first + i, kept.distance, token_row);
  }
  var below = reached.before.y + inclusive_sum(vec2u(0u, own), lane).y - own;
  if (kept.sum.y == 0u) {
    if (lane == 0u) {
      publish(row, step, NOT_FINITE);
    }
  } else if (below <= drawn_mass && drawn_mass < below + own) {
    var token = of_row.best;
    for (var i = 0u; i < span && below <= drawn_mass; i++) {
      let mass = kept_mass(first + i, kept.distance, token_row);
      token = select(token, first + i, mass > 0u);
      below += mass;
    }
    publish(row, step, token);
  }
}

struct TokenRow {
  base: u32,
  peak_key: u32,
  farthest: u32, // the largest distance that min-p keeps
}

fn distance_of(v: u32, token_row: TokenRow) -> u32 {
  return token_row.peak_key - sort_key(scores[token_row.base + v]);
}

fn kept_mass(v: u32, distance: u32, token_row: TokenRow) -> u32 {
  let at = min(v, VOCAB - 1u);
  let mass = masses[token_row.base + at];
  return select(0u, mass, v < VOCAB && distance_of(at, token_row) <= distance);
}

// Notes where the sum over the invocations reaches `wanted`: `own` is this one's part, `sum` the sum with it.
fn reach(wanted: u32, which: u32, before: vec2u, own: vec2u, sum: vec2u, lane: u32) {
  let upto = before + sum;
  if (upto[which] - own[which] < wanted && wanted <= upto[which]) {
    reached = Reached(lane, upto - own, upto);
  }
}

// The least distance such that the tokens at most as far have a count, or a mass, of at least `wanted`: its bin, then the rest
// of it, eight bits a round. What it returns means nothing where all tokens have less.
fn nearest(wanted: u32, which: u32, in_bin: vec2u, to_bin: vec2u, token_row: TokenRow, lane: u32) -> Kept {
  workgroupBarrier(); // the threshold before this one is read
  reach(wanted, which, vec2u(), in_bin, to_bin, lane);
  if (lane == 0u) {
    atomicStore(&listed, 0u);
  }
  workgroupBarrier();
  let bin = reached.at;
  var sum = reached.before;
  for (var first = lane; first < VOCAB; first += 1024u) {
    for (var i = 0u; i < 1024u; i += 256u) {
      let v = first + i;
      let distance = distance_of(min(v, VOCAB - 1u), token_row);
      if (v < VOCAB && distance <= token_row.farthest && bin_of(distance) == bin) {
        let at = atomicAdd(&listed, 1u);
        if (at < LISTED) {
          list[at] = vec2u(distance, masses[token_row.base + v]);
        }
      }
    }
  }
  workgroupBarrier();
  let found = atomicLoad(&listed);
  var prefix = bin << BIN_SHIFT;
  for (var shift = 32u; shift > 0u; shift -= 8u) {
    atomicStore(&digit_counts[lane], 0u);
    atomicStore(&digit_masses[lane], 0u);
    workgroupBarrier();
    if (found <= LISTED) {
      for (var i = lane; i < found; i += 256u) {
        tally(list[i], bin, prefix, shift);
      }
    } else {
      for (var v = lane; v < VOCAB; v += 256u) {
        let distance = distance_of(v, token_row);
        if (distance <= token_row.farthest && bin_of(distance) == bin) {
          tally(vec2u(distance, masses[token_row.base + v]), bin, prefix, shift);
        }
      }
    }
    workgroupBarrier();
    let own = vec2u(atomicLoad(&digit_counts[lane]), atomicLoad(&digit_masses[lane]));
    reach(wanted, which, sum, own, inclusive_sum(own, lane), lane);
    workgroupBarrier();
    prefix += reached.at << (shift - 8u);
    sum = select(reached.before, reached.upto, shift == 8u);
  }
  return Kept(prefix, sum);
}

// Counts a token of the bin whose distance begins as `prefix` does, by the eight bits below `shift`.
fn tally(token: vec2u, bin: u32, prefix: u32, shift: u32) {
  let into = token.x - (bin << BIN_SHIFT);
  let known = prefix - (bin << BIN_SHIFT);
  if (shift == 32u || (into >> (shift & 31u)) == (known >> (shift & 31u))) {
    let digit = (into >> (shift - 8u)) & 255u;
    atomicAdd(&digit_counts[digit], 1u);
    atomicAdd(&digit_masses[digit], token.y);
  }
}
