// Converts a matrix into the rows and the format that products read. A thread packs UNIT vec4s: a whole slice where the
// format packs a slice together.
@group(0) @binding(2) var<storage, read_write> weight: array<WeightWord>; // [≥ first_row + N, k4]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var unit = id.x; unit < shape.rows * shape.k4 / UNIT; unit += groups.x * 64u) {
    var values = array<vec4f, UNIT>();
    for (var i = 0u; i < UNIT; i++) {
      values[i] = as_read(unit * UNIT + i);
    }
    let columns = real_columns((unit * UNIT % shape.k4) * 4u, UNIT * 4u);
    pack(shape.first_row * shape.k4 / UNIT + unit, columns, &values);
  }
}
