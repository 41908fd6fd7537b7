// Where the scale and the codes of a slice of 32 weights lie, in 32-bit words. Eight neighbouring rows lie together: first
// the scales of their first slices side by side, then those of their second ones and so on; then, 16 bytes of each row at a
// time, the codes in the same order. Neighbouring lanes of a GPU read neighbouring words.
struct SliceAt {
  scale: u32,
  codes: u32,
}

fn slice_at(row: u32, slice: u32, slices: u32) -> SliceAt {
  let start = row / 8u * slices * (8u + 8u * CODE_WORDS);
  let codes = start + slices * 8u + slice * (8u * CODE_WORDS);
  return SliceAt(start + slice * 8u + row % 8u, codes + row % 8u * 4u);
}

fn scale_word(at: SliceAt) -> u32 {
  return at.scale;
}

fn code_word(at: SliceAt, i: u32) -> u32 {
  return at.codes + i / 4u * 32u + i % 4u;
}
