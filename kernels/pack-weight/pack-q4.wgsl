// Rounds each weight to the nearest of 16 levels: from the slice's minimum, itself rounded down, in steps of its scale.
// Ties go up.
fn pack(at: SliceAt, first: u32, count: u32, values: ptr<function, array<vec4f, UNIT>>) {
  var low = BOUND;
  var high = -BOUND;
  for (var c = 0u; c < count; c++) {
    let x = tame((*values)[c / 4u])[c % 4u];
    low = min(low, x);
    high = max(high, x);
  }
  let minimum = round_down(low);
  let scale = covering_scale(high - minimum, 15.0, 0x10000u);
  weight[scale_word(at)] = (bitcast<u32>(scale) >> 16u) | bitcast<u32>(minimum);
  for (var i = 0u; i < UNIT / 2u; i++) {
    var word = 0u;
    for (var c = i * 8u; c < min(count, i * 8u + 8u); c++) {
      word |= level(tame((*values)[c / 4u])[c % 4u], minimum, scale) << (4u * (c % 8u));
    }
    weight[code_word(at, i)] = word;
  }
}

// Rounds towards −∞ to the upper half of an f32's bits.
fn round_down(x: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(x) + select(0u, 0xFFFFu, x < 0.0)) & 0xFFFF0000u);
}

fn level(x: f32, minimum: f32, scale: f32) -> u32 {
  if (scale == 0.0) {
    return 0u;
  }
  var q = clamp(floor((x - minimum) / scale + 0.5), 0.0, 15.0);
  while (q < 15.0 && x >= fma(q + 0.5, scale, minimum)) {
    q += 1.0;
  }
  while (q > 0.0 && x < fma(q - 0.5, scale, minimum)) {
    q -= 1.0;
  }
  return u32(q);
}
