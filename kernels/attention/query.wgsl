// Four values of one head of a row's q, scaled; zeros beyond its end.
fn query4(row: u32, head: u32, i: u32) -> vec4f {
  let base = (row * (HEADS + 2u * KV_HEADS) + head) * SIZE + i * 4u;
  var values = vec4f();
  for (var c = 0u; c < min(4u, SIZE - i * 4u); c++) {
    values[c] = qkv[base + c] * SCALE;
  }
  return values;
}
