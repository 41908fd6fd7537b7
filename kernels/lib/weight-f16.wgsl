// Reads the kernel's `weight` in f16: two halves per 32 bits, so that `shader-f16` is not needed.
alias WeightWord = vec4u;
const SLICE_WORDS = 4u;

// The i-th four weights of a slice.
fn load_four(at: SliceAt, i: u32) -> vec4f {
  let words = weight[at + i / 2u * WORD_STRIDE];
  return four_halves(select(words.xy, words.zw, i % 2u == 1u));
}

// The i-th eight weights of a slice; `scale` is what the whole slice shares.
fn load_eight(at: SliceAt, i: u32, shared_scale: vec2f) -> Eight {
  return eight_halves(weight[at + i * WORD_STRIDE]);
}

fn load_scale(at: SliceAt) -> vec2f {
  return vec2f();
}

fn eight_halves(words: vec4u) -> Eight {
  return Eight(four_halves(words.xy), four_halves(words.zw));
}

fn four_halves(words: vec2u) -> vec4f {
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}
