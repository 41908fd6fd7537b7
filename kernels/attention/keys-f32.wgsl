// Keys for heads of any size.
@group(0) @binding(3) var<storage, read> keys: array<f32>; // [slots, POSITIONS, KV_HEADS, SIZE]

// Four values of the key of one position and head, zeros beyond its end.
fn key4(key_row: u32, i: u32) -> vec4f {
  var values = vec4f();
  for (var c = 0u; c < min(4u, SIZE - i * 4u); c++) {
    values[c] = keys[key_row * SIZE + i * 4u + c];
  }
  return values;
}
