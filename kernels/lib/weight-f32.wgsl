// Four consecutive weights of a row, as stored for f32.
alias Weight4 = vec4f;

fn unpack_weights(packed: Weight4) -> vec4f {
  return packed;
}

fn pack_weights(values: vec4f) -> Weight4 {
  return values;
}
