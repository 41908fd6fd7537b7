// The error of packing: each workgroup's share of Σ (w − packed w)² and of Σ w².
@group(0) @binding(3) var<storage, read> weight: array<WeightWord>; // [bound_rows, slices]
@group(0) @binding(4) var<storage, read_write> sums: array<vec2f>; // [workgroups]

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(num_workgroups) groups: vec3u,
) {
  let k4 = shape.slices * 8u; // vec4s in a row
  var squares = vec2f();
  for (var i = group.x * WORKGROUP + lane; i < shape.rows * k4; i += groups.x * WORKGROUP) {
    let row = i / k4;
    let place = place_of(row);
    if (place < shape.bound_rows) {
      let k = i % k4 * 4u;
      let values = as_read(row, k);
      let packed = load_four(slice_at(place, k / 32u, shape.slices), k / 4u % 8u);
      for (var c = 0u; c < real_columns(k, 4u); c++) {
        let both = vec2f(values[c] - packed[c], values[c]);
        squares = fma(both, both, squares);
      }
    }
  }
  var total = vec2f(workgroup_sum(squares.x, lane), workgroup_sum(squares.y, lane));
  if (lane == 0u) {
    if (shape.added != 0u) {
      total += sums[group.x];
    }
    sums[group.x] = total;
  }
}
