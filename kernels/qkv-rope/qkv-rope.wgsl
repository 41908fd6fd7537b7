// The heads of one token of each stream: q, k, v = f(h) Wᵀ + b, where f is a norm. q and k are rotated as in rope; k and v go
// straight into the cache. A workgroup computes ROWS_PER_WORKGROUP / 2 pairs of one row: the two values that a rotation turns
// into each other, or two neighbours that are not rotated.
override K: u32;
override BIASED: bool;
override HEADS: u32;
override KV_HEADS: u32;
override SIZE: u32;
override HALF: u32; // pairs of a head that are rotated
override POSITIONS: u32;
override ALL_HEADS = HEADS + 2u * KV_HEADS;
override PAIRS = (SIZE + 1u) / 2u; // of a head; the last of an odd SIZE has one value

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> schedule: Schedule;
@group(0) @binding(2) var<storage, read> angles: array<vec2f>; // [POSITIONS, HALF]: cos, sin
@group(0) @binding(3) var<storage, read> source: array<f32>; // h [rows, K]
@group(0) @binding(4) var<storage, read> vectors: array<f32>; // norm [2, K]: weight, bias; then b [ALL_HEADS SIZE], if BIASED
@group(0) @binding(5) var<storage, read> weight: array<WeightWord>; // [ALL_HEADS SIZE, K4]: heads of q, of k, of v
@group(0) @binding(6) var<storage, read_write> qkv: array<f32>; // [rows, ALL_HEADS, SIZE], only q is written
@group(0) @binding(7) var<storage, read_write> keys: array<f32>; // [slots, POSITIONS, KV_HEADS, SIZE]
@group(0) @binding(8) var<storage, read_write> values: array<f32>; // [slots, POSITIONS, KV_HEADS, SIZE]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, invocation: Invocation) {
  let ahead = load_ahead(group.x, invocation);
  let lane = invocation.lane;
  let base = group.y * K;
  let statistics = row_statistics(base, K, lane);
  for (var i = lane; i < K4; i += THREADS) {
    var four = vec4f();
    for (var c = 0u; c < min(4u, K - min(K, i * 4u)); c++) {
      let k = i * 4u + c;
      four[c] = fma((source[base + k] - statistics.x) * statistics.y, vectors[k], vectors[K + k]);
    }
    input[input_place(i)] = four;
  }
  workgroupBarrier();

  multiply_ahead(group.x, invocation, ahead);
  workgroupBarrier();

  for (var product = lane * 2u; product < ROWS_PER_WORKGROUP; product += 2u * THREADS) {
    let pair = (group.x * ROWS_PER_WORKGROUP + product) / 2u;
    if (pair < ALL_HEADS * PAIRS) {
      let sums = two_products_of(product);
      store(group.y, pair, sums.x, sums.y);
    }
  }
}

// Where the two values of a pair lie in its head. An odd head's last pair has its one value twice.
fn places(item: u32) -> vec2u {
  let rotated = vec2u(item, item + HALF);
  let alone = min(vec2u(2u * item, 2u * item + 1u), vec2u(SIZE - 1u));
  return select(alone, rotated, item < HALF);
}

fn store(row: u32, pair: u32, first: f32, second: f32) {
  let head = pair / PAIRS;
  let item = pair % PAIRS;
  let at = places(item);
  var pair_values = vec2f(first, second);
  if (BIASED) {
    let bias = 2u * K + head * SIZE;
    pair_values += vec2f(vectors[bias + at.x], vectors[bias + at.y]);
  }
  let stream = run.streams[row / run.length];
  let position = stream.position + schedule.step + row % run.length;
  // A position beyond the cache would lie in the next slot.
  let cached = position < POSITIONS;
  if (item < HALF && head < HEADS + KV_HEADS && cached) {
    let angle = angles[position * HALF + item];
    pair_values = vec2f(
      fma(pair_values.x, angle.x, -(pair_values.y * angle.y)),
      fma(pair_values.y, angle.x, pair_values.x * angle.y),
    );
  }
  let whole = at.x != at.y;
  if (head < HEADS) {
    let into = (row * ALL_HEADS + head) * SIZE;
    qkv[into + at.x] = pair_values.x;
    if (whole) {
      qkv[into + at.y] = pair_values.y;
    }
    return;
  }
  if (!cached) {
    return;
  }
  let into = ((stream.slot * POSITIONS + position) * KV_HEADS + (head - HEADS) % KV_HEADS) * SIZE;
  if (head < HEADS + KV_HEADS) {
    keys[into + at.x] = pair_values.x;
    if (whole) {
      keys[into + at.y] = pair_values.y;
    }
  } else {
    values[into + at.x] = pair_values.x;
    if (whole) {
      values[into + at.y] = pair_values.y;
    }
  }
}

fn weight_row(group: u32, product: u32) -> u32 {
  let pair = min((group * ROWS_PER_WORKGROUP + product) / 2u, ALL_HEADS * PAIRS - 1u);
  let at = places(pair % PAIRS);
  return pair / PAIRS * SIZE + select(at.x, at.y, product % 2u == 1u);
}
