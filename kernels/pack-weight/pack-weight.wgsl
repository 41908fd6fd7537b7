// Converts a matrix into the layout and the format that products read. A thread packs UNIT vec4s: a whole slice where the
// format packs a slice together.
@group(0) @binding(3) var<storage, read_write> weight: array<WeightWord>; // [bound_rows, slices]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let units = shape.slices * 8u / UNIT; // in a row
  for (var unit = id.x; unit < shape.rows * units; unit += groups.x * 64u) {
    let row = unit / units;
    let place = place_of(row);
    if (place < shape.bound_rows) {
      let first = unit % units * UNIT; // vec4 of the row
      var values = array<vec4f, UNIT>();
      for (var i = 0u; i < UNIT; i++) {
        values[i] = as_read(row, (first + i) * 4u);
      }
      pack(slice_at(place, first / 8u, shape.slices), first % 8u, real_columns(first * 4u, UNIT * 4u), &values);
    }
  }
}
