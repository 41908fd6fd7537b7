// What tiles of any size share: how a thread takes in a row, adds to four columns and puts them down.

// Four values of a row, zeros beyond its end.
fn load_x(row: u32, k: u32) -> vec4f {
  var values = vec4f();
  if (row < run.rows) {
    let at = row * shape.in_stride + shape.in_offset + k;
    for (var c = 0u; c < min(4u, shape.columns - min(shape.columns, k)); c++) {
      values[c] = x[at + c];
    }
  }
  return values;
}

// Four columns' sums over the next four k: in order, as `multiply_add` of lib/product.wgsl does for one.
fn add_products(w: mat4x4f, x: vec4f, sum: vec4f) -> vec4f {
  return fma(w[3], vec4f(x.w), fma(w[2], vec4f(x.z), fma(w[1], vec4f(x.y), fma(w[0], vec4f(x.x), sum))));
}

fn store_four(row: u32, column: u32, sums: vec4f) {
  if (row < run.rows) {
    let out_row = row * shape.out_stride + shape.out_offset;
    if (column < shape.outputs) {
      store(out_row, column, sums.x, sums.y);
    }
    if (column + 2u < shape.outputs) {
      store(out_row, column + 2u, sums.z, sums.w);
    }
  }
}
