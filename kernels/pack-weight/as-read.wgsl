// A matrix as read from a file, and the layout that products read: rows from `first_row` on, padded to whole slices of 32;
// for a gated unit the rows of its two halves alternate (row 2j is row j of the first half, row 2j + 1 is row j of the
// second). A uniform, not overrides, so that one pipeline packs all matrices of a model.
struct Layout {
  rows: u32, // N
  columns: u32, // K
  k4: u32, // vec4s in a padded row
  gated: u32,
  first_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Layout;
@group(0) @binding(1) var<storage, read> matrix: array<f32>; // [N, K]

// How many of the `count` values from column k on are real columns; the rest is padding.
fn real_columns(k: u32, count: u32) -> u32 {
  return min(count, shape.columns - min(shape.columns, k));
}

// The i-th four values of the padded rows; padding is zero.
fn as_read(i: u32) -> vec4f {
  let row = i / shape.k4;
  var origin = row;
  if (shape.gated != 0u) {
    origin = row / 2u + select(0u, shape.rows / 2u, row % 2u == 1u);
  }
  let k = (i % shape.k4) * 4u;
  var values = vec4f();
  for (var c = 0u; c < real_columns(k, 4u); c++) {
    values[c] = matrix[origin * shape.columns + k + c];
  }
  return values;
}
