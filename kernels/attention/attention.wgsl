// Attention for prefill. A workgroup takes 8 neighbouring queries of one head of one stream, over chunks of 64 keys. A
// thread first computes one key's scores for all 8 queries, then a few of the head's values, summed over the keys of the
// chunk, for all 8.
override Q4 = SIZE4 * 8u;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> schedule: Schedule;
@group(0) @binding(2) var<storage, read> qkv: array<f32>; // [rows, (HEADS + 2 KV_HEADS) SIZE]
// binding 3: keys, in keys-*.wgsl
@group(0) @binding(4) var<storage, read> values: array<f32>; // [slots, POSITIONS, KV_HEADS, SIZE]
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [rows, HEADS SIZE]

const QUERIES = 8u;

var<workgroup> q_tile: array<vec4f, Q4>; // [SIZE4, 8 queries]
var<workgroup> weights: array<vec4f, 128>; // [64 keys, 8 queries]: scores, then their exponentials
var<workgroup> maxima: array<vec4f, 16>; // [8 groups of keys, 8 queries]

// One number for each of the 8 queries.
struct Eight {
  low: vec4f,
  high: vec4f,
}

// A thread's weighted values, at `lane`, `lane` + 64, …. Named fields, not an array: software adapters keep an array with a
// variable index in memory. Fields beyond the head's size are not computed.
struct Values {
  at0: Eight,
  at64: Eight,
  at128: Eight,
  at192: Eight,
}

// The result of the keys so far for each query: their maximum, the sum of their weights relative to it, and their values.
struct State {
  peak: Eight,
  sum: Eight,
  values: Values,
}

fn empty() -> State {
  return State(Eight(vec4f(LOWEST), vec4f(LOWEST)), Eight(), Values());
}

// The 8 queries' vectors of four.
struct Queries {
  q0: vec4f,
  q1: vec4f,
  q2: vec4f,
  q3: vec4f,
  q4: vec4f,
  q5: vec4f,
  q6: vec4f,
  q7: vec4f,
}

// Four keys' weights.
struct Weights {
  k0: Eight,
  k1: Eight,
  k2: Eight,
  k3: Eight,
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, invocation: Invocation) {
  let lane = invocation.lane;
  let head = group.x;
  let tiles = (run.length + QUERIES - 1u) / QUERIES;
  let stream = group.y / tiles;
  // The last tiles see the most keys. They go first, so that none is still running when the others are done.
  let t = (tiles - 1u - group.y % tiles) * QUERIES;
  let row = stream * run.length + t;
  let queries = min(QUERIES, run.length - t);
  let position = run.streams[stream].position + schedule.step + t;
  let end = min(position + queries, POSITIONS); // of the keys that at least one query sees
  for (var i = lane; i < Q4; i += 64u) {
    q_tile[i] = query4(row + min(i % QUERIES, queries - 1u), head, i / QUERIES);
  }
  workgroupBarrier();

  let own_low = vec4u(position) + vec4u(0u, 1u, 2u, 3u);
  let own_high = own_low + 4u;
  let slot_row = run.streams[stream].slot * POSITIONS;
  let kv_head = head / (HEADS / KV_HEADS);
  var total = empty();
  var now = empty(); // of the current split
  for (var first = 0u; first < end; first += KEYS) {
    if (first % SPLIT == 0u) {
      total = merge(total, now);
      now = empty();
    }
    let key = first + lane;
    let seen_low = vec4u(key) <= own_low;
    let seen_high = vec4u(key) <= own_high;
    let all = scores_of((slot_row + min(key, end - 1u)) * KV_HEADS + kv_head, invocation);
    let scores = Eight(
      select(vec4f(LOWEST), all.low, seen_low),
      select(vec4f(LOWEST), all.high, seen_high),
    );
    weights[2u * lane] = scores.low;
    weights[2u * lane + 1u] = scores.high;
    workgroupBarrier();

    if (lane < 16u) {
      let at = lane / 2u * 16u + lane % 2u;
      var peak = weights[at];
      for (var i = 1u; i < 8u; i++) {
        peak = max(peak, weights[at + 2u * i]);
      }
      maxima[lane] = peak;
    }
    workgroupBarrier();
    var peak = now.peak;
    for (var i = 0u; i < 8u; i++) {
      peak = Eight(max(peak.low, maxima[2u * i]), max(peak.high, maxima[2u * i + 1u]));
    }
    weights[2u * lane] = select(vec4f(), exp(scores.low - peak.low), seen_low);
    weights[2u * lane + 1u] = select(vec4f(), exp(scores.high - peak.high), seen_high);
    workgroupBarrier();

    let by = Eight(rescale4(now.peak.low, peak.low), rescale4(now.peak.high, peak.high));
    var sum = Eight();
    now.values = scaled(now.values, by);
    let chunk_end = min(first + KEYS, end);
    let common_end = min(chunk_end, position + 1u); // of the keys that all queries see
    let value_row = (slot_row + first) * KV_HEADS + kv_head;
    var k = 0u;
    // Four keys at a time: on a software adapter the cost of the loop itself counts.
    for (; first + k + 4u <= common_end; k += 4u) {
      let four = weights_at(k, invocation);
      sum = add_eights(add_eights(add_eights(add_eights(sum, four.k0), four.k1), four.k2), four.k3);
      let at = value_row + k * KV_HEADS;
      now.values = add_values(now.values, four.k0, at, lane);
      now.values = add_values(now.values, four.k1, at + KV_HEADS, lane);
      now.values = add_values(now.values, four.k2, at + 2u * KV_HEADS, lane);
      now.values = add_values(now.values, four.k3, at + 3u * KV_HEADS, lane);
    }
    for (; first + k < chunk_end; k++) {
      let weight = weight_of(k);
      sum = add_eights(sum, weight);
      // Zero times the value of a later row need not be zero: the value may be NaN.
      let next = add_values(now.values, weight, value_row + k * KV_HEADS, lane);
      now.values = select_values(now.values, next, vec4u(first + k) <= own_low, vec4u(first + k) <= own_high);
    }
    now.sum = Eight(fma(now.sum.low, by.low, sum.low), fma(now.sum.high, by.high, sum.high));
    now.peak = peak;
    workgroupBarrier();
  }
  total = merge(total, now);

  // A sum for each quotient, as in the merge of decode: from a common one, fast maths would make one reciprocal and products.
  store(row, queries, head, lane, total.values.at0, total.sum);
  if (SIZE > 64u) {
    store(row, queries, head, lane + 64u, total.values.at64, sealed_eight(total.sum, SEAL));
  }
  if (SIZE > 128u) {
    store(row, queries, head, lane + 128u, total.values.at128, sealed_eight(total.sum, SEAL + 2u));
  }
  if (SIZE > 192u) {
    store(row, queries, head, lane + 192u, total.values.at192, sealed_eight(total.sum, SEAL + 4u));
  }
}

fn add_eights(a: Eight, b: Eight) -> Eight {
  return Eight(a.low + b.low, a.high + b.high);
}

fn scores_of(key_row: u32, invocation: Invocation) -> Eight {
  var dot0 = vec4f();
  var dot1 = vec4f();
  var dot2 = vec4f();
  var dot3 = vec4f();
  var dot4 = vec4f();
  var dot5 = vec4f();
  var dot6 = vec4f();
  var dot7 = vec4f();
  for (var i = 0u; i < SIZE4; i++) {
    let key = key4(key_row, i);
    let queries = queries_at(i, invocation);
    dot0 = fma(queries.q0, key, dot0);
    dot1 = fma(queries.q1, key, dot1);
    dot2 = fma(queries.q2, key, dot2);
    dot3 = fma(queries.q3, key, dot3);
    dot4 = fma(queries.q4, key, dot4);
    dot5 = fma(queries.q5, key, dot5);
    dot6 = fma(queries.q6, key, dot6);
    dot7 = fma(queries.q7, key, dot7);
  }
  return Eight(
    vec4f(sum4(dot0), sum4(dot1), sum4(dot2), sum4(dot3)),
    vec4f(sum4(dot4), sum4(dot5), sum4(dot6), sum4(dot7)),
  );
}

fn weight_of(key: u32) -> Eight {
  return Eight(weights[2u * key], weights[2u * key + 1u]);
}

fn add_values(sum: Values, weight: Eight, value_row: u32, lane: u32) -> Values {
  let base = value_row * SIZE;
  var next = Values();
  next.at0 = add_value(sum.at0, weight, values[base + min(lane, SIZE - 1u)]);
  if (SIZE > 64u) {
    next.at64 = add_value(sum.at64, weight, values[base + min(lane + 64u, SIZE - 1u)]);
  }
  if (SIZE > 128u) {
    next.at128 = add_value(sum.at128, weight, values[base + min(lane + 128u, SIZE - 1u)]);
  }
  if (SIZE > 192u) {
    next.at192 = add_value(sum.at192, weight, values[base + min(lane + 192u, SIZE - 1u)]);
  }
  return next;
}

fn add_value(sum: Eight, weight: Eight, value: f32) -> Eight {
  return Eight(fma(weight.low, vec4f(value), sum.low), fma(weight.high, vec4f(value), sum.high));
}

fn scaled(sum: Values, by: Eight) -> Values {
  var next = Values();
  next.at0 = scaled_eight(sum.at0, by);
  if (SIZE > 64u) {
    next.at64 = scaled_eight(sum.at64, by);
  }
  if (SIZE > 128u) {
    next.at128 = scaled_eight(sum.at128, by);
  }
  if (SIZE > 192u) {
    next.at192 = scaled_eight(sum.at192, by);
  }
  return next;
}

fn scaled_eight(value: Eight, by: Eight) -> Eight {
  return Eight(value.low * by.low, value.high * by.high);
}

fn select_values(a: Values, b: Values, low: vec4<bool>, high: vec4<bool>) -> Values {
  var next = Values();
  next.at0 = select_eight(a.at0, b.at0, low, high);
  if (SIZE > 64u) {
    next.at64 = select_eight(a.at64, b.at64, low, high);
  }
  if (SIZE > 128u) {
    next.at128 = select_eight(a.at128, b.at128, low, high);
  }
  if (SIZE > 192u) {
    next.at192 = select_eight(a.at192, b.at192, low, high);
  }
  return next;
}

fn select_eight(a: Eight, b: Eight, low: vec4<bool>, high: vec4<bool>) -> Eight {
  return Eight(select(a.low, b.low, low), select(a.high, b.high, high));
}

fn merge(a: State, b: State) -> State {
  let peak = Eight(max(a.peak.low, b.peak.low), max(a.peak.high, b.peak.high));
  let by_a = Eight(rescale4(a.peak.low, peak.low), rescale4(a.peak.high, peak.high));
  let by_b = Eight(rescale4(b.peak.low, peak.low), rescale4(b.peak.high, peak.high));
  return State(
    peak,
    merge_eight(a.sum, by_a, b.sum, by_b),
    merge_values(a.values, by_a, b.values, by_b),
  );
}

fn merge_values(a: Values, by_a: Eight, b: Values, by_b: Eight) -> Values {
  var next = Values();
  next.at0 = merge_eight(a.at0, by_a, b.at0, by_b);
  if (SIZE > 64u) {
    next.at64 = merge_eight(a.at64, by_a, b.at64, by_b);
  }
  if (SIZE > 128u) {
    next.at128 = merge_eight(a.at128, by_a, b.at128, by_b);
  }
  if (SIZE > 192u) {
    next.at192 = merge_eight(a.at192, by_a, b.at192, by_b);
  }
  return next;
}

fn merge_eight(a: Eight, by_a: Eight, b: Eight, by_b: Eight) -> Eight {
  return Eight(fma(a.low, by_a.low, b.low * by_b.low), fma(a.high, by_a.high, b.high * by_b.high));
}

fn sealed_eight(x: Eight, key: u32) -> Eight {
  return Eight(sealed4(x.low, key), sealed4(x.high, key));
}

fn store(row: u32, queries: u32, head: u32, d: u32, value: Eight, sum: Eight) {
  if (d >= SIZE) {
    return;
  }
  let low = value.low / sum.low;
  let high = value.high / sum.high;
  for (var q = 0u; q < queries; q++) {
    out[((row + q) * HEADS + head) * SIZE + d] = select(high[q % 4u], low[q % 4u], q < 4u);
  }
}
