// The same for the decode step of a small batch: 16 × 64 tiles of Y, 4 × 4 per thread. If the batch has fewer than 16 rows,
// the rest of the tile is wasted; W is read once for all 16.

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<f32>; // [rows, in_stride], K from in_offset
@group(0) @binding(3) var<storage, read> weight: array<WeightWord>; // [≥ first_row + N, slices · 8]
@group(0) @binding(4) var<storage, read> bias: array<f32>; // [≥ first_row + N]
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [rows, out_stride], from out_offset

var<workgroup> x_tile: array<vec4f, 128>; // [16 rows, 8]
var<workgroup> w_tile: array<vec4f, 512>; // [64 columns, 8]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first_row = group.y * 16u;
  let first_column = group.x * 64u;
  let tile_row = (lane / 16u) * 4u;
  let tile_column = (lane % 16u) * 4u;
  let slices = (shape.columns + 31u) / 32u; // the last padded with zeros
  var total0 = vec4f();
  var total1 = vec4f();
  var total2 = vec4f();
  var total3 = vec4f();
  for (var slice = 0u; slice < slices; slice++) {
    for (var i = lane; i < 128u; i += 64u) {
      let k = slice * 32u + (i % 8u) * 4u;
      x_tile[i] = load_x(first_row + i / 8u, k);
    }
    for (var i = lane; i < 512u; i += 64u) {
      let column = min(first_column + i / 8u, shape.outputs - 1u);
      w_tile[i] = load_four(slice_at(shape.first_row + column, slice, slices), i % 8u);
    }
    workgroupBarrier();
    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    for (var i = 0u; i < SLICE4; i++) {
      let w0 = w_tile[tile_column * 8u + i];
      let w1 = w_tile[tile_column * 8u + 8u + i];
      let w2 = w_tile[tile_column * 8u + 16u + i];
      let w3 = w_tile[tile_column * 8u + 24u + i];
      let columns = transpose(mat4x4f(w0, w1, w2, w3));
      sum0 = add_products(columns, x_tile[tile_row * 8u + i], sum0);
      sum1 = add_products(columns, x_tile[tile_row * 8u + 8u + i], sum1);
      sum2 = add_products(columns, x_tile[tile_row * 8u + 16u + i], sum2);
      sum3 = add_products(columns, x_tile[tile_row * 8u + 24u + i], sum3);
    }
    total0 += sum0;
    total1 += sum1;
    total2 += sum2;
    total3 += sum3;
    workgroupBarrier();
  }
  let row = first_row + tile_row;
  let column = first_column + tile_column;
  store_four(row, column, total0);
  store_four(row + 1u, column, total1);
  store_four(row + 2u, column, total2);
  store_four(row + 3u, column, total3);
}
