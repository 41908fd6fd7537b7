// How well each position of the context agrees with each cue. The cue's segments come in order: the first at the position
// itself, each later one shifted from its place in the cue by a lag of its own, within the cue's bound. The score is the
// mean of their cosines, less PENALTY for every token by which a lag differs from the one before, for the best lags
// (dynamic programming, as in a banded alignment). One thread per position and column; a column is a cue and a mode, which
// weighs the two memories.
override SEGMENTS: u32;
override RING: u32;
override PENALTY: f32;
override MODES: u32;
const LAGS = 8u;
const PLACES = 2u * LAGS + 1u;
const NEVER = -1e30;

struct Positions {
  count: u32,
  first: u32, // place of the first position in the ring
  before: u32, // rows of the context before the first position
  stride: u32, // scores from column to column
}

@group(0) @binding(0) var<uniform> positions: Positions;
@group(0) @binding(1) var<storage, read> cosines: array<vec2f>; // [RING, SEGMENTS]: PVM's, PLM's
@group(0) @binding(2) var<storage, read> cues: array<vec4u>; // [cues]: first segment, number of segments, most lag
@group(0) @binding(3) var<storage, read> ends: array<u32>; // [SEGMENTS]: last token of each segment within its cue
@group(0) @binding(4) var<storage, read> modes: array<vec2f>; // [MODES]: weights of PVM and PLM
@group(0) @binding(5) var<storage, read_write> scores: array<u32>; // [cues, MODES, stride]: similarity and lag, see below

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let position = id.x;
  if (position >= positions.count) {
    return;
  }
  let cue = cues[id.y / MODES];
  let weights = modes[id.y % MODES];
  var best = array<f32, PLACES>();
  for (var l = 0u; l < PLACES; l++) {
    best[l] = NEVER;
  }
  let least = LAGS - cue.z;
  let most = LAGS + cue.z;
  best[LAGS] = cosine(position + ends[cue.x], cue.x, weights);
  for (var s = 1u; s < cue.y; s++) {
    for (var l = least + 1u; l <= most; l++) {
      best[l] = max(best[l], best[l - 1u] - PENALTY);
    }
    for (var l = most; l > least; l--) {
      best[l - 1u] = max(best[l - 1u], best[l] - PENALTY);
    }
    let segment = cue.x + s;
    for (var l = least; l <= most; l++) {
      let row = i32(position + ends[segment] + l) - i32(LAGS);
      if (row + i32(positions.before) >= 0) {
        best[l] += cosine(u32(row + i32(RING)), segment, weights);
      }
    }
  }
  // Among equals: the lag nearest to 0, then the smaller one.
  var lag = LAGS;
  for (var away = 1u; away <= cue.z; away++) {
    if (best[LAGS - away] > best[lag]) {
      lag = LAGS - away;
    }
    if (best[LAGS + away] > best[lag]) {
      lag = LAGS + away;
    }
  }
  let similarity = clamp(best[lag] / f32(cue.y), -1.0, 1.0);
  scores[id.y * positions.stride + position] = (u32(floor((similarity + 1.0) * 524288.0 + 0.5)) << 5u) | lag;
}

fn cosine(row: u32, segment: u32, weights: vec2f) -> f32 {
  return dot(weights, cosines[(positions.first + row) % RING * SEGMENTS + segment]);
}
