// Eight consecutive weights.
struct Eight {
  low: vec4f,
  high: vec4f,
}
