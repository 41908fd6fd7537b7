// Products of a workgroup: ROWS_PER_WORKGROUP rows of W times the workgroup's input, which lies in shared memory. The
// kernel defines `weight_row`, the row of W for one of the workgroup's products; `input4`, the i-th four inputs; and, for
// the products that are taken together from `first` on, `slices_of`, how many slices they sum, and `input_start`, where
// their input begins.
// A kernel calls `load_ahead` before it makes its input, `multiply_ahead` when it is there (or `multiply` for both), and after
// a barrier `product_of`. It may store its input where `input_place` says, and have THREADS threads.
override SLICES: u32; // of 32 columns, the last padded with zeros
override ROWS_PER_WORKGROUP: u32;
override K4 = SLICES * 8u; // vec4s in a padded row
