// Rotates the first 2 HALF values of each head of q and k by the angles of the row's position, in pairs (i, i + HALF): q in
// place, k into the cache; v is copied as it is. One thread per pair, or per value that is not rotated.
override HEADS: u32;
override KV_HEADS: u32;
override SIZE: u32;
override HALF: u32;
override POSITIONS: u32;
override ITEMS = SIZE - HALF; // of a head: its pairs, then its single values

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> schedule: Schedule;
@group(0) @binding(2) var<storage, read> angles: array<vec2f>; // [POSITIONS, HALF]: cos, sin
@group(0) @binding(3) var<storage, read_write> qkv: array<f32>; // [rows, (HEADS + 2 KV_HEADS) SIZE]
@group(0) @binding(4) var<storage, read_write> keys: array<f32>; // [slots, POSITIONS, KV_HEADS, SIZE]
@group(0) @binding(5) var<storage, read_write> values: array<f32>; // [slots, POSITIONS, KV_HEADS, SIZE]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y;
  let head = id.x / ITEMS;
  let item = id.x % ITEMS;
  let position = run.streams[row / run.length].position + schedule.step + row % run.length;
  // A position beyond the cache would lie in the next slot.
  if (head >= HEADS + 2u * KV_HEADS || position >= POSITIONS) {
    return;
  }
  let is_pair = item < HALF;
  let d = select(item + HALF, item, is_pair);
  let at = (row * (HEADS + 2u * KV_HEADS) + head) * SIZE + d;
  var pair = vec2f(qkv[at], 0.0);
  if (is_pair) {
    pair.y = qkv[at + HALF];
    if (head < HEADS + KV_HEADS) {
      let angle = angles[position * HALF + item];
      pair = vec2f(
        fma(pair.x, angle.x, -(pair.y * angle.y)),
        fma(pair.y, angle.x, pair.x * angle.y),
      );
    }
  }
  if (head < HEADS) {
    qkv[at] = pair.x;
    if (is_pair) {
      qkv[at + HALF] = pair.y;
    }
    return;
  }
  let cache_row = (run.streams[row / run.length].slot * POSITIONS + position) * KV_HEADS;
  let into = (cache_row + (head - HEADS) % KV_HEADS) * SIZE + d;
  if (head < HEADS + KV_HEADS) {
    keys[into] = pair.x;
    if (is_pair) {
      keys[into + HALF] = pair.y;
    }
  } else {
    values[into] = pair.x;
    if (is_pair) {
      values[into + HALF] = pair.y;
    }
  }
}
