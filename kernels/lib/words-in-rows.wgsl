// Where a slice of 32 weights lies, if it is whole words of 16 bytes: row after row.
const WORD_STRIDE = 1u; // from a slice's word to its next one
alias SliceAt = u32;

fn slice_at(row: u32, slice: u32, slices: u32) -> SliceAt {
  return (row * slices + slice) * SLICE_WORDS;
}
