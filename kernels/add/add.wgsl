// h[row] += x[row], over the D values of one row. One workgroup per row.
override D: u32;
override STRIDE: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>; // [rows, STRIDE], only the first D of each row are used
@group(0) @binding(1) var<storage, read_write> h: array<f32>; // [rows, D]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var d = lane; d < D; d += 64u) {
    h[group.x * D + d] += x[group.x * STRIDE + d];
  }
}
