// The error of packing: each workgroup's share of Σ (w − packed w)² and of Σ w².
@group(0) @binding(2) var<storage, read> weight: array<WeightWord>; // [≥ first_row + N, k4]
@group(0) @binding(3) var<storage, read_write> sums: array<vec2f>; // [workgroups]

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(num_workgroups) groups: vec3u,
) {
  var squares = vec2f();
  for (var i = group.x * WORKGROUP + lane; i < shape.rows * shape.k4; i += groups.x * WORKGROUP) {
    let values = as_read(i);
    let packed = load_weights(shape.first_row * shape.k4 + i);
    for (var c = 0u; c < real_columns((i % shape.k4) * 4u, 4u); c++) {
      let both = vec2f(values[c] - packed[c], values[c]);
      squares = fma(both, both, squares);
    }
  }
  let total = vec2f(workgroup_sum(squares.x, lane), workgroup_sum(squares.y, lane));
  if (lane == 0u) {
    sums[group.x] = total;
  }
}
