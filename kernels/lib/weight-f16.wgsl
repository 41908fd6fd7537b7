// Four consecutive weights of a row, as stored for f16: two halves a word, so no `shader-f16` is needed.
alias Weight4 = vec2u;

fn unpack_weights(packed: Weight4) -> vec4f {
  return vec4f(unpack2x16float(packed.x), unpack2x16float(packed.y));
}

fn pack_weights(values: vec4f) -> Weight4 {
  return vec2u(
    to_float16(values.x) | (to_float16(values.y) << 16u),
    to_float16(values.z) | (to_float16(values.w) << 16u),
  );
}
