// Where a slice of 32 weights lies, if it is whole words of 16 bytes: the i-th words of eight neighbouring rows lie side by
// side, so that neighbouring lanes of a GPU read 128 bytes in a row.
const WORD_STRIDE = 8u; // from a slice's word to its next one
alias SliceAt = u32;

fn slice_at(row: u32, slice: u32, slices: u32) -> SliceAt {
  return (row / 8u * slices + slice) * (8u * SLICE_WORDS) + row % 8u;
}
