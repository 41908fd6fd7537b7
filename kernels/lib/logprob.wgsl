// A token and ln of its probability.
struct Logprob {
  token: u32,
  value: f32,
}

const NONE = 0xFFFFFFFFu;

// From a token and its logit. No probability is above 1, though a device's log(1) may be off by 2⁻²¹.
fn entry(logit: Logprob, peak: f32, log_sum: f32, known: bool) -> Logprob {
  if (!known) {
    return Logprob(NONE, 0.0);
  }
  return Logprob(logit.token, min(logit.value - peak - log_sum, 0.0));
}
