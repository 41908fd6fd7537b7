// A matrix as read, [N, K] f32, into the rows the products read: padded to whole slices of 32, in the run-time format,
// and, for a gated unit, its halves' rows side by side (row 2j is j of the first half, 2j + 1 of the second).
override N: u32;
override K: u32;
override K4: u32; // vec4s in a padded row
override GATED: bool;
override FIRST_ROW: u32; // where the rows start in `weight`

@group(0) @binding(0) var<storage, read> matrix: array<f32>; // [N, K]
@group(0) @binding(1) var<storage, read_write> weight: array<Weight4>; // [≥ FIRST_ROW + N, K4]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < N * K4; i += groups.x * 64u) {
    let row = i / K4;
    var origin = row;
    if (GATED) {
      origin = row / 2u + select(0u, N / 2u, row % 2u == 1u);
    }
    var values = vec4f();
    for (var c = 0u; c < 4u; c++) {
      let k = (i % K4) * 4u + c;
      if (k < K) {
        values[c] = matrix[origin * K + k];
      }
    }
    weight[FIRST_ROW * K4 + i] = pack_weights(values);
  }
}
