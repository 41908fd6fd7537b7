// What both attention kernels share, so that they round alike. A product q · k is four interleaved sums, added at the end.
// Keys are taken in chunks of 64 and chunks in splits, each in order. The scale is applied to q: if it were multiplied in
// later, one kernel could fuse it with the next operation and the other not.
override HEADS: u32;
override KV_HEADS: u32; // divides HEADS
override SIZE: u32; // of a head, at most 256
override POSITIONS: u32; // of a slot of the cache
override SPLIT: u32; // keys, a multiple of 64
override SCALE: f32;
override SIZE4 = (SIZE + 3u) / 4u; // vec4s in a head, the last padded with zeros

const KEYS = 64u; // in a chunk, one per thread
const LOWEST = -1e30; // instead of −∞, below any score

// The factor that turns a sum relative to the maximum `before` into one relative to `now`. It is exactly 1 where the
// maximum stays: a chunk that a row does not see must change nothing.
fn rescale(before: f32, now: f32) -> f32 {
  return select(exp(before - now), 1.0, before == now);
}

fn rescale4(before: vec4f, now: vec4f) -> vec4f {
  return select(exp(before - now), vec4f(1.0), before == now);
}
