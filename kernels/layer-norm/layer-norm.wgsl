// out[row] = (h − mean) / sqrt(var + EPS) · weight + bias, over the D values of one row. One workgroup per row.
override D: u32;
override OUT_STRIDE: u32;

@group(0) @binding(0) var<storage, read> source: array<f32>; // h [rows, D]
@group(0) @binding(1) var<storage, read> norm: array<f32>; // [2, D]: weight, bias
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // [rows, OUT_STRIDE], the first D of each row

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.x * D;
  let statistics = row_statistics(base, D, lane);
  for (var d = lane; d < D; d += WORKGROUP) {
    out[group.x * OUT_STRIDE + d] = fma((source[base + d] - statistics.x) * statistics.y, norm[d], norm[D + d]);
  }
}
