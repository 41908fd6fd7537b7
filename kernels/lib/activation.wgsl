// σ(x). The clamp keeps exp finite: WGSL leaves infinities to the implementation.
fn sigmoid(x: f32) -> f32 {
  return 1.0 / (1.0 + exp(-clamp(x, -80.0, 80.0)));
}
