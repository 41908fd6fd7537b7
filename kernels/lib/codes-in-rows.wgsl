// Where the scale and the codes of a slice of 32 weights lie, in 32-bit words: together, row after row.
alias SliceAt = u32;

fn slice_at(row: u32, slice: u32, slices: u32) -> SliceAt {
  return (row * slices + slice) * (1u + CODE_WORDS);
}

fn scale_word(at: SliceAt) -> u32 {
  return at;
}

fn code_word(at: SliceAt, i: u32) -> u32 {
  return at + 1u + i;
}
