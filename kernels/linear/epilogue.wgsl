// What becomes of two neighbouring sums of a row (column even; a gated unit's two halves lie side by side).
const STORE = 0u; // out = sum + b
const GATED = 1u; // out[column / 2] = (sum + b) σ(next sum + b)
const SIGMOID = 2u; // out = σ(sum + b)
const ADD = 3u; // out += sum + b

fn store(out_row: u32, column: u32, sum: f32, next_sum: f32) {
  let value = biased(sum, column);
  if (EPILOGUE == GATED) {
    out[out_row + column / 2u] = value * sigmoid(biased(next_sum, column + 1u));
    return;
  }
  finish(out_row + column, value);
  if (column + 1u < N) {
    finish(out_row + column + 1u, biased(next_sum, column + 1u));
  }
}

fn biased(sum: f32, column: u32) -> f32 {
  if (BIAS) {
    return sum + bias[FIRST_ROW + column];
  }
  return sum;
}

fn finish(index: u32, value: f32) {
  if (EPILOGUE == SIGMOID) {
    out[index] = sigmoid(value);
  } else if (EPILOGUE == ADD) {
    out[index] += value;
  } else {
    out[index] = value;
  }
}
