// Four values of a row of X, zeros beyond the end of the row; beyond the last row, the last row's.
fn load_x(row: u32, k: u32) -> vec4f {
  let start = min(row, run.rows - 1u) * shape.in_stride + shape.in_offset;
  let ks = vec4u(k, k + 1u, k + 2u, k + 3u);
  let at = start + min(ks, vec4u(shape.columns - 1u));
  return select(vec4f(), vec4f(x[at.x], x[at.y], x[at.z], x[at.w]), ks < vec4u(shape.columns));
}
