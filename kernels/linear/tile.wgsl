// What tiles of all sizes share: how a thread adds to four columns and stores them.

// Adds the next four k to the sums of four columns, in the order in which `multiply_add` of lib/product.wgsl does it for
// one.
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
