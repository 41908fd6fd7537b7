// The mixer for one token of each stream: x = LN1(h), c = x + conv(x), u = GLU(W c + b). A workgroup computes
// ROWS_PER_WORKGROUP / 2 values of u for one row. All workgroups of a row compute the same x and c; the first one stores x.
override D: u32;
override TAPS: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<uniform> block: Block;
@group(0) @binding(2) var<storage, read> source: array<f32>; // h [rows, D]
@group(0) @binding(3) var<storage, read> state: array<f32>; // tail at its head: [slots, layers, TAPS − 1 …, D]
@group(0) @binding(4) var<storage, read> norm: array<f32>; // [2, D]: weight, bias
@group(0) @binding(5) var<storage, read> conv: array<f32>; // [TAPS + 1, D]: taps oldest first, then bias
@group(0) @binding(6) var<storage, read> weight: array<WeightWord>; // [2D, K4], a unit's two halves side by side
@group(0) @binding(7) var<storage, read> bias: array<f32>; // [2D]
@group(0) @binding(8) var<storage, read_write> mixed: array<f32>; // [rows, 2, D]: x, u

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, invocation: Invocation) {
  let ahead = load_ahead(group.x, invocation);
  let lane = invocation.lane;
  let row = group.y;
  let base = row * D;
  let statistics = row_statistics(base, D, lane);
  let tail = run.streams[row].slot * SLOT_STRIDE + block.layer * LAYER_STRIDE;
  for (var i = lane; i < K4; i += THREADS) {
    var values = vec4f();
    for (var c = 0u; c < min(4u, D - min(D, i * 4u)); c++) {
      let d = i * 4u + c;
      let x = fma((source[base + d] - statistics.x) * statistics.y, norm[d], norm[D + d]);
      values[c] = x;
      if (TAPS > 0u) {
        var sum = conv[TAPS * D + d];
        for (var tap = 0u; tap + 1u < TAPS; tap++) {
          sum = fma(conv[tap * D + d], state[tail + tap * D + d], sum);
        }
        values[c] = x + fma(conv[(TAPS - 1u) * D + d], x, sum);
      }
      if (group.x == 0u) {
        mixed[row * 2u * D + d] = x;
      }
    }
    input[input_place(i)] = values;
  }
  workgroupBarrier();

  multiply_ahead(group.x, invocation, ahead);
  workgroupBarrier();

  for (var product = lane * 2u; product < ROWS_PER_WORKGROUP; product += 2u * THREADS) {
    let column = group.x * ROWS_PER_WORKGROUP + product;
    if (column < 2u * D) {
      let sums = two_products_of(product);
      let value = sums.x + bias[column];
      mixed[row * 2u * D + D + column / 2u] = value * sigmoid(sums.y + bias[column + 1u]);
    }
  }
}

fn weight_row(group: u32, product: u32) -> u32 {
  return min(group * ROWS_PER_WORKGROUP + product, 2u * D - 1u);
}
