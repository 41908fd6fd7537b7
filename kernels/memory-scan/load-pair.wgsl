// Pair p of u, for both halves of the scan.
fn load_pair(base: u32, p: u32) -> vec2f {
  let first = mixed[base + pair_first(p, D)];
  if (pair_is_whole(p, D)) {
    return vec2f(first, mixed[base + p + D / 2u]);
  }
  return vec2f(first, 0.0);
}
