// Keys for heads whose size is a multiple of 4.
@group(0) @binding(3) var<storage, read> keys: array<vec4f>; // [slots, POSITIONS, KV_HEADS, SIZE4]

// Four values of the key of one position and head.
fn key4(key_row: u32, i: u32) -> vec4f {
  return keys[key_row * SIZE4 + i];
}
