// A matrix as read from a file, and where its rows go in the layout that products read, padded to whole slices of 32. The
// layout may be bound in parts: rows that go elsewhere are left out. A uniform, not overrides, so that one pipeline packs
// all matrices of a model.
struct Layout {
  rows: u32, // N
  columns: u32, // K
  slices: u32, // of a padded row
  has_places: u32,
  first_row: u32, // where the first row goes, if there are no places
  bound_first: u32, // the rows that are bound
  bound_rows: u32,
  added: u32, // whether sums add to those of the part before
}

@group(0) @binding(0) var<uniform> shape: Layout;
@group(0) @binding(1) var<storage, read> matrix: array<f32>; // [N, K]
@group(0) @binding(2) var<storage, read> places: array<u32>; // [N]; not read without has_places

// Where a row goes among the rows that are bound; beyond them if it does not.
fn place_of(row: u32) -> u32 {
  var place = shape.first_row + row;
  if (shape.has_places != 0u) {
    place = places[row];
  }
  return select(place - shape.bound_first, shape.bound_rows, place < shape.bound_first);
}

// How many of the `count` values from column k on are real columns; the rest is padding.
fn real_columns(k: u32, count: u32) -> u32 {
  return min(count, shape.columns - min(shape.columns, k));
}

// The four values of a row from column k on; padding is zero.
fn as_read(row: u32, k: u32) -> vec4f {
  var values = vec4f();
  for (var c = 0u; c < real_columns(k, 4u); c++) {
    values[c] = matrix[row * shape.columns + k + c];
  }
  return values;
}
