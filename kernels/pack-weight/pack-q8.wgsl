// Rounds each weight to the nearest multiple of the slice's scale, ties away from zero.
fn pack(at: SliceAt, first: u32, count: u32, values: ptr<function, array<vec4f, UNIT>>) {
  var largest = vec4f();
  for (var i = 0u; i < UNIT; i++) {
    largest = max(largest, abs(tame((*values)[i])));
  }
  let scale = covering_scale(max(max(largest.x, largest.y), max(largest.z, largest.w)), 127.0, 0x100u);
  weight[scale_word(at)] = bitcast<u32>(scale);
  for (var i = 0u; i < UNIT; i++) {
    let four = tame((*values)[i]);
    var word = 0u;
    for (var c = 0u; c < 4u; c++) {
      word |= (u32(multiple(four[c], scale)) & 0xFFu) << (8u * c);
    }
    weight[code_word(at, i)] = word;
  }
}

fn multiple(x: f32, scale: f32) -> i32 {
  if (scale == 0.0) {
    return 0;
  }
  let size = abs(x);
  var q = floor(size / scale + 0.5);
  while (size >= (q + 0.5) * scale) {
    q += 1.0;
  }
  while (size < (q - 0.5) * scale) {
    q -= 1.0;
  }
  return i32(select(q, -q, x < 0.0));
}
