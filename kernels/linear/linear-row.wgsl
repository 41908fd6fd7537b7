// Y = f(X) Wᵀ + b for few rows, f the identity or a norm. A workgroup computes PRODUCTS columns of one row: each
// thread whole slices of K, then one thread a pair of columns adds the slices in order.
// K is an override as it is in layer-norm: a compiler may divide by a constant in its own way, and both must agree.
override K: u32;
override NORM: bool;

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> source: array<f32>; // X [rows, in_stride], K from in_offset
@group(0) @binding(2) var<storage, read> norm: array<f32>; // [2, K]: weight, bias
@group(0) @binding(3) var<storage, read> weight: array<WeightWord>; // [≥ first_row + N, K4]
@group(0) @binding(4) var<storage, read> bias: array<f32>; // [≥ first_row + N]
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [rows, out_stride], from out_offset

var<workgroup> input: array<vec4f, K4>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.y * shape.in_stride + shape.in_offset;
  var statistics = vec2f(0.0, 1.0);
  if (NORM) {
    statistics = row_statistics(base, K, lane);
  }
  for (var i = lane; i < K4; i += WORKGROUP) {
    var values = vec4f();
    for (var c = 0u; c < min(4u, K - min(K, i * 4u)); c++) {
      let k = i * 4u + c;
      values[c] = source[base + k];
      if (NORM) {
        values[c] = fma((values[c] - statistics.x) * statistics.y, norm[k], norm[K + k]);
      }
    }
    input[i] = values;
  }
  workgroupBarrier();

  let first_column = group.x * PRODUCTS;
  for (var task = lane; task < PARTIALS; task += WORKGROUP) {
    let column = min(first_column + task / SLICES, shape.outputs - 1u);
    let slice = (task % SLICES) * SLICE4;
    var sum = 0.0;
    for (var i = slice; i < slice + SLICE4; i++) {
      sum = multiply_add(load_weights((shape.first_row + column) * K4 + i), input[i], sum);
    }
    partial[task] = sum;
  }
  workgroupBarrier();

  for (var c = lane * 2u; c < PRODUCTS; c += 2u * WORKGROUP) {
    let column = first_column + c;
    if (column < shape.outputs) {
      store(group.y * shape.out_stride + shape.out_offset, column, sum_slices(c), sum_slices(c + 1u));
    }
  }
}
