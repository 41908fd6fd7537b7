// The second half of combine and the MLP's first product, for one token of each stream: h' = h + LN2(s) and inner = GLU(W
// LN3(h') + b). A workgroup computes ROWS_PER_WORKGROUP / 2 values of inner for one row. All workgroups of a row compute the
// same h'; the first one stores it, into another buffer than h, which the others still read, and stores the stream's new m and z.
override D: u32;
override OUTPUTS: u32; // rows of W, two for each value of inner

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<uniform> block: Block;
@group(0) @binding(2) var<storage, read> mixed: array<f32>; // [rows, 2, D]: s first
@group(0) @binding(3) var<storage, read> memory: array<f32>; // [rows, 2, D]: m, z
@group(0) @binding(4) var<storage, read> before: array<f32>; // h [rows, D]
@group(0) @binding(5) var<storage, read> vectors: array<f32>; // [4, D]: norm2 weight, bias, norm3 weight, bias; then b [OUTPUTS]
@group(0) @binding(6) var<storage, read> weight: array<WeightWord>; // [OUTPUTS, K4], a unit's two halves side by side
@group(0) @binding(7) var<storage, read_write> state: array<f32>; // [slots, layers, TAIL + PVM + PLM, D]
@group(0) @binding(8) var<storage, read_write> after: array<f32>; // h' [rows, D]
@group(0) @binding(9) var<storage, read_write> inner: array<f32>; // [rows, OUTPUTS / 2]

var<workgroup> source: array<f32, D>; // s, then h'

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, invocation: Invocation) {
  let ahead = load_ahead(group.x, invocation);
  let lane = invocation.lane;
  let row = group.y;
  // As in the statistics, the first WORKGROUP threads work, and each reads what it wrote: only their own barriers are needed.
  let first = select(D, lane, lane < WORKGROUP);
  for (var d = first; d < D; d += WORKGROUP) {
    source[d] = mixed[row * 2u * D + d];
  }
  let second = row_statistics(0u, D, lane);
  for (var d = first; d < D; d += WORKGROUP) {
    source[d] = before[row * D + d] + fma((source[d] - second.x) * second.y, vectors[d], vectors[D + d]);
  }
  let third = row_statistics(0u, D, lane);
  for (var i = lane; i < K4; i += THREADS) {
    var values = vec4f();
    for (var c = 0u; c < min(4u, D - min(D, i * 4u)); c++) {
      let d = i * 4u + c;
      values[c] = fma((source[d] - third.x) * third.y, vectors[2u * D + d], vectors[3u * D + d]);
    }
    input[input_place(i)] = values;
  }
  if (group.x == 0u) {
    let memories = run.streams[row].slot * SLOT_STRIDE + block.layer * LAYER_STRIDE + TAIL * D;
    for (var d = lane; d < D; d += THREADS) {
      after[row * D + d] = source[d];
      if (PVM) {
        state[memories + d] = memory[row * 2u * D + d];
      }
      if (PLM) {
        state[memories + select(0u, D, PVM) + d] = memory[row * 2u * D + D + d];
      }
    }
  }
  workgroupBarrier();

  multiply_ahead(group.x, invocation, ahead);
  workgroupBarrier();

  for (var product = lane * 2u; product < ROWS_PER_WORKGROUP; product += 2u * THREADS) {
    let column = group.x * ROWS_PER_WORKGROUP + product;
    if (column < OUTPUTS) {
      let sums = two_products_of(product);
      let value = sums.x + vectors[4u * D + column];
      let gate = sigmoid(sums.y + vectors[4u * D + column + 1u]);
      inner[row * (OUTPUTS / 2u) + column / 2u] = value * gate;
    }
  }
}

fn weight_row(group: u32, product: u32) -> u32 {
  return min(group * ROWS_PER_WORKGROUP + product, OUTPUTS - 1u);
}
