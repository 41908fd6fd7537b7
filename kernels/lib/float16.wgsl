// IEEE binary16 of an f32, rounded to nearest even; pack2x16float may round either way. Overflow gives infinity.
fn to_float16(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7FFFFFFFu;
  if (magnitude >= 0x477FF000u) { // 65520 and up round past the largest half
    return sign | select(0x7C00u, 0x7E00u, magnitude > 0x7F800000u);
  }
  if (magnitude < 0x38800000u) { // below 2^-14: a subnormal half, in units of 2^-24
    if (magnitude < 0x33000000u) {
      return sign;
    }
    let shift = 126u - (magnitude >> 23u);
    let mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
    let rest = mantissa & ((1u << shift) - 1u);
    let half = 1u << (shift - 1u);
    let kept = mantissa >> shift;
    return sign | (kept + select(0u, 1u, rest > half || (rest == half && (kept & 1u) == 1u)));
  }
  let rounded = magnitude - 0x38000000u + 0xFFFu + ((magnitude >> 13u) & 1u);
  return sign | (rounded >> 13u);
}
