// Pair p of a D-vector v is (v[p], v[p + ⌊D/2⌋]); in an odd D the last element stands alone, as (v[D − 1], 0).
fn pair_first(p: u32, d: u32) -> u32 {
  return select(p, d - 1u, p == d / 2u);
}

fn pair_is_whole(p: u32, d: u32) -> bool {
  return p < d / 2u;
}
