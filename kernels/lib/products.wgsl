// ROWS_PER_WORKGROUP of a workgroup's rows of W with its input, which lies in shared memory. The kernel says which: `weight_row`, the
// row of W of a workgroup's product; `input4`, the i-th four inputs; and, of the products from `first` on that are taken
// together, `slices_of`, how many slices they sum, and `input_start`, where their input begins.
override SLICES: u32; // of 32 columns, the last padded with zeros
override ROWS_PER_WORKGROUP: u32;
override K4 = SLICES * 8u; // vec4s in a padded row
