// Attention for one query and one split of its keys per workgroup, in chunks of 64 keys. A thread first computes one key's
// score, then a few of the head's values, summed over the keys of the chunk. Splits beyond the row's position have nothing
// to do.
override SPLITS: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> schedule: Schedule;
@group(0) @binding(2) var<storage, read> qkv: array<f32>; // [rows, (HEADS + 2 KV_HEADS) SIZE]
// binding 3: keys, in attention/keys-*.wgsl
@group(0) @binding(4) var<storage, read> values: array<f32>; // [slots, POSITIONS, KV_HEADS, SIZE]
@group(0) @binding(5) var<storage, read_write> partials: array<f32>; // [rows, HEADS, SPLITS, 2 + SIZE]

var<workgroup> query: array<vec4f, SIZE4>;
var<workgroup> weights: array<f32, 64>; // scores, then their exponentials
var<workgroup> maxima: array<f32, 8>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  let head = group.x / SPLITS;
  let start = group.x % SPLITS * SPLIT;
  let position = run.streams[row / run.length].position + schedule.step + row % run.length;
  let end = min(min(position + 1u, POSITIONS), start + SPLIT);
  if (start >= end) {
    return;
  }
  for (var i = lane; i < SIZE4; i += 64u) {
    query[i] = query4(row, head, i);
  }
  workgroupBarrier();

  let slot_row = run.streams[row / run.length].slot * POSITIONS;
  let kv_head = head / (HEADS / KV_HEADS);
  var peak = LOWEST;
  var sum = 0.0;
  var value = vec4f(); // at lane, lane + 64, …
  for (var first = start; first < end; first += KEYS) {
    let key = first + lane;
    var score = LOWEST;
    if (key < end) {
      var dot = vec4f();
      for (var i = 0u; i < SIZE4; i++) {
        dot = fma(query[i], key4((slot_row + key) * KV_HEADS + kv_head, i), dot);
      }
      score = sum4(dot);
    }
    weights[lane] = score;
    workgroupBarrier();

    if (lane < 8u) {
      var highest = weights[lane * 8u];
      for (var i = 1u; i < 8u; i++) {
        highest = max(highest, weights[lane * 8u + i]);
      }
      maxima[lane] = highest;
    }
    workgroupBarrier();
    let before = peak;
    for (var i = 0u; i < 8u; i++) {
      peak = max(peak, maxima[i]);
    }
    weights[lane] = select(0.0, exp(score - peak), key < end);
    workgroupBarrier();

    let by = rescale(before, peak);
    value *= by;
    var chunk_sum = 0.0;
    // Four keys at a time, in order: on a software adapter the cost of the loop itself counts.
    for (var k = first; k < min(first + KEYS, end); k += 4u) {
      let at = k - first;
      let weight = vec4f(weights[at], weights[at + 1u], weights[at + 2u], weights[at + 3u]);
      chunk_sum = (((chunk_sum + weight.x) + weight.y) + weight.z) + weight.w;
      // Keys beyond the last have weight 0, but their values may be anything, even NaN.
      let keys4 = min(vec4u(k, k + 1u, k + 2u, k + 3u), vec4u(end - 1u));
      let base = ((slot_row + keys4) * KV_HEADS + kv_head) * SIZE;
      value.x = add_values(value.x, weight, base + min(lane, SIZE - 1u));
      if (SIZE > 64u) {
        value.y = add_values(value.y, weight, base + min(lane + 64u, SIZE - 1u));
      }
      if (SIZE > 128u) {
        value.z = add_values(value.z, weight, base + min(lane + 128u, SIZE - 1u));
      }
      if (SIZE > 192u) {
        value.w = add_values(value.w, weight, base + min(lane + 192u, SIZE - 1u));
      }
    }
    sum = fma(sum, by, chunk_sum);
    workgroupBarrier();
  }

  let base = ((row * HEADS + head) * SPLITS + start / SPLIT) * (2u + SIZE);
  if (lane == 0u) {
    partials[base] = peak;
    partials[base + 1u] = sum;
  }
  for (var i = 0u; i < 4u; i++) {
    if (lane + i * 64u < SIZE) {
      partials[base + 2u + lane + i * 64u] = value[i];
    }
  }
}

fn add_values(sum: f32, weight: vec4f, at: vec4u) -> f32 {
  let first = fma(weight.y, values[at.y], fma(weight.x, values[at.x], sum));
  return fma(weight.w, values[at.w], fma(weight.z, values[at.z], first));
}
