// Y = f(X) Wᵀ + b, a row at a time; f is the identity or a norm. A workgroup computes ROWS_PER_WORKGROUP columns of one
// row. K is an override, as in layer-norm: a compiler may divide by a constant in its own way, and both must agree.
override K: u32;
override NORM: bool;

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> source: array<f32>; // X [rows, in_stride], K from in_offset
@group(0) @binding(2) var<storage, read> norm: array<f32>; // [2, K]: weight, bias
@group(0) @binding(3) var<storage, read> weight: array<WeightWord>; // [≥ first_row + N, K4]
@group(0) @binding(4) var<storage, read> bias: array<f32>; // [≥ first_row + N]
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [rows, out_stride], from out_offset

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, invocation: Invocation) {
  let ahead = load_ahead(group.x, invocation);
  let lane = invocation.lane;
  let base = group.y * shape.in_stride + shape.in_offset;
  var statistics = vec2f(0.0, 1.0);
  if (NORM) {
    statistics = row_statistics(base, K, lane);
  }
  for (var i = lane; i < K4; i += THREADS) {
    var values = vec4f();
    for (var c = 0u; c < min(4u, K - min(K, i * 4u)); c++) {
      let k = i * 4u + c;
      values[c] = source[base + k];
      if (NORM) {
        values[c] = fma((values[c] - statistics.x) * statistics.y, norm[k], norm[K + k]);
      }
    }
    input[input_place(i)] = values;
  }
  workgroupBarrier();

  multiply_ahead(group.x, invocation, ahead);
  workgroupBarrier();

  for (var c = lane * 2u; c < ROWS_PER_WORKGROUP; c += 2u * THREADS) {
    let column = group.x * ROWS_PER_WORKGROUP + c;
    if (column < shape.outputs) {
      let sums = two_products_of(c);
      store(group.y * shape.out_stride + shape.out_offset, column, sums.x, sums.y);
    }
  }
}

fn weight_row(group: u32, product: u32) -> u32 {
  return shape.first_row + min(group * ROWS_PER_WORKGROUP + product, shape.outputs - 1u);
}
