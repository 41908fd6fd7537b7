// What one of sampling's kernels leaves to the next, for each row.
struct SampledRow {
  scale: Scale,
  best: u32, // the most likely token
  peak_key: u32, // the largest sort key
  drawn: u32, // 0: its token is known already
  least_key: u32, // the least sort key that min-p keeps
}

// Tokens fall into 256 bins by how far their sort keys lie below the largest one: 32 bins each time that a value doubles.
const BIN_SHIFT = 18u;

fn bin_of(distance: u32) -> u32 {
  return min(distance >> BIN_SHIFT, 255u);
}
