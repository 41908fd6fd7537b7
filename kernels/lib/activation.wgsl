// σ(x). The clamp keeps exp finite: WGSL leaves infinities to the implementation. Sealed, so that x σ(x) is a product in every
// kernel, and nowhere a quotient.
fn sigmoid(x: f32) -> f32 {
  return sealed(1.0 / (1.0 + exp(-clamp(x, -80.0, 80.0))), SEAL);
}

// The error function to 1e-7, and 1 − |erf| without the loss of a difference: x + x A(x²) below 0.92, and 1 − exp(−|x| −
// |x| B(|x|)) from there on. Both polynomials are those of Arm's Optimized Routines (math/erff.c).
const ERF_SMALL = 0.921875;
fn erf_small(x: f32) -> f32 {
  let s = x * x;
  var p = fma(s, -0x1.3a1a82p-11, 0x1.473f48p-8);
  p = fma(s, p, -0x1.b68bd2p-6);
  p = fma(s, p, 0x1.ce1a46p-4);
  p = fma(s, p, -0x1.8126e0p-2);
  p = fma(s, p, 0x1.06eba6p-3);
  return fma(x, p, x);
}

fn erfc_large(x: f32) -> f32 {
  let a = min(abs(x), 4.0); // erfc(4) = 1.5e-8 is less than half of the last place of an f32 near 1
  var p = fma(a, 0x1.2229p-16, -0x1.91d2ccp-12);
  p = fma(a, p, 0x1.fd1336p-9);
  p = fma(a, p, -0x1.8d63p-6);
  p = fma(a, p, 0x1.b55cbp-4);
  p = fma(a, p, 0x1.450aap-1);
  p = fma(a, p, 0x1.079d0cp-3);
  return select(exp(-fma(a, p, a)), 0.0, abs(x) >= 4.0);
}

fn erf(x: f32) -> f32 {
  return select(sign(x) * (1.0 - erfc_large(x)), erf_small(x), abs(x) < ERF_SMALL);
}

// x Φ(x) = x/2 (1 + erf(x/√2)).
fn gelu(x: f32) -> f32 {
  let t = x * 0.70710678118654752;
  let tail = erfc_large(t);
  return 0.5 * x * select(select(2.0 - tail, tail, x < 0.0), 1.0 + erf_small(t), abs(t) < ERF_SMALL);
}

// x/2 (1 + tanh t) = x σ(2t), t = √(2/π) (x + 0.044715 x³), since WGSL promises little about tanh. At ±10 σ has long
// reached 0 or 1.
fn gelu_tanh(x: f32) -> f32 {
  let c = clamp(x, -10.0, 10.0);
  return x * sigmoid(1.5957691216057308 * c * fma(0.044715, c * c, 1.0));
}

// Not max, which may give 0 for NaN.
fn relu(x: f32) -> f32 {
  return select(x, 0.0, x < 0.0);
}

fn silu(x: f32) -> f32 {
  return x * sigmoid(x);
}
