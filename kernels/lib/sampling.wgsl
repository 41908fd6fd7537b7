// What sampling's kernels share (SPEC §4): a row's settings, and the probability of a token as a whole multiple of 2⁻³¹.
struct Sampling {
  temperature: f32, // below LEAST_NORMAL: argmax
  top_p: f32, // 1: off
  penalty: f32, // 1: off
  phase_temperature: f32, // λ: the temperature is scaled by 1 + λ (1 − R)
  top_k: u32, // 0: off
  choice: u32,
  seed: vec2u,
  log_min_p: f32, // ln of min-p; above 0: off
  unused: u32,
}

const NOT_FINITE = 0xFFFFFFFFu;
const UNIT = 2147483648.0; // 2³¹
const LEAST_NORMAL = 0x1p-126f; // the inverse of anything less overflows

// What a row's probabilities depend on; the same for every token.
struct Scale {
  peak: f32,
  inverse_temperature: f32,
  inverse_sum: f32,
}

fn scale_of(peak: f32, temperature: f32) -> Scale {
  return Scale(peak, 1.0 / temperature, 1.0);
}

// `order`: R, summed over the blocks. The product is sealed: a compiler could fuse it with the sum.
fn phase_aware(temperature: f32, lambda: f32, order: f32, blocks: u32) -> f32 {
  // Without blocks there is no order, and 0 / 0 would be no temperature.
  if (blocks == 0u) {
    return temperature;
  }
  return temperature * (1.0 + sealed(lambda * (1.0 - sealed(order / f32(blocks), SEAL)), SEAL));
}

fn penalised(logit: f32, penalty: f32) -> f32 {
  return select(logit / penalty, logit * penalty, logit < 0.0);
}

// The least sort key that min-p keeps: that of peak + T ln(min-p), and of −0 for 0. 0: off.
fn least_key(setting: Sampling, peak: f32, temperature: f32) -> u32 {
  if (setting.log_min_p > 0.0) {
    return 0u;
  }
  let key = sort_key(peak + sealed(temperature * setting.log_min_p, SEAL));
  return select(key, key - 1u, key == 0x80000000u);
}

fn weight_of(score: f32, scale: Scale) -> f32 {
  return exp((score - scale.peak) * scale.inverse_temperature);
}

fn mass_of(score: f32, scale: Scale) -> u32 {
  return u32(weight_of(score, scale) * scale.inverse_sum * UNIT + 0.5);
}
