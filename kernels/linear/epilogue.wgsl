// The shape of a product. A uniform, not overrides, so that one pipeline serves all products of a model with the same
// epilogue.
struct Shape {
  columns: u32, // K
  outputs: u32, // N
  first_row: u32, // of W and b
  in_stride: u32,
  in_offset: u32,
  out_stride: u32,
  out_offset: u32,
  has_bias: u32,
}

// What happens to two neighbouring sums of a row (`column` is even; the two halves of a gated unit lie side by side).
override EPILOGUE: u32; // an override: a switch on a uniform, inlined at every store, takes compilers seconds
const STORE = 0u; // out = sum + b
const GATED = 1u; // out[column / 2] = (sum + b) σ(next sum + b)
const SIGMOID = 2u; // out = σ(sum + b)
const ADD = 3u; // out += sum + b
const GELU = 4u; // out = (sum + b) Φ(sum + b), and so on
const GELU_TANH = 5u;
const RELU = 6u;
const SILU = 7u;
const SWIGLU = 8u; // out[column / 2] = silu(sum + b) (next sum + b)

fn store(out_row: u32, column: u32, sum: f32, next_sum: f32) {
  let value = biased(sum, column);
  if (EPILOGUE == GATED) {
    out[out_row + column / 2u] = value * sigmoid(biased(next_sum, column + 1u));
    return;
  }
  if (EPILOGUE == SWIGLU) {
    out[out_row + column / 2u] = silu(value) * biased(next_sum, column + 1u);
    return;
  }
  finish(out_row + column, value);
  if (column + 1u < shape.outputs) {
    finish(out_row + column + 1u, biased(next_sum, column + 1u));
  }
}

fn biased(sum: f32, column: u32) -> f32 {
  if (shape.has_bias != 0u) {
    return sum + bias[shape.first_row + column];
  }
  return sum;
}

fn finish(index: u32, value: f32) {
  switch (EPILOGUE) {
    case SIGMOID: {
      out[index] = sigmoid(value);
    }
    case ADD: {
      // Adding zero must leave even the sign of a zero alone: the bits of a row must not depend on whether another row had
      // a bias.
      if (value != 0.0) {
        out[index] += value;
      }
    }
    case GELU: {
      out[index] = gelu(value);
    }
    case GELU_TANH: {
      out[index] = gelu_tanh(value);
    }
    case RELU: {
      out[index] = relu(value);
    }
    case SILU: {
      out[index] = silu(value);
    }
    default: {
      out[index] = value;
    }
  }
}
