// Four values of one head of a row's q, scaled; zeros beyond its end.
fn query4(row: u32, head: u32, i: u32) -> vec4f {
  let base = (row * (HEADS + 2u * KV_HEADS) + head) * SIZE + i * 4u;
  var values = vec4f();
  for (var c = 0u; c < min(4u, SIZE - i * 4u); c++) {
    values[c] = qkv[base + c] * SCALE;
  }
  return values;
}

// q · k from its four sums. They are sealed: once a compiler has unrolled the loop that made them, it may add their parts in
// another order. Heads of at most 8 floats, which only test models have, keep the order that each driver gave them.
fn sum4(sums: vec4f) -> f32 {
  var values = sums;
  if (SIZE4 > 2u) {
    values = sealed4(sums, SEAL);
  }
  return (values.x + values.y) + (values.z + values.w);
}
