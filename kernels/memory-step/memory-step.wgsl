// Both memories for one token of each stream, and the products that need them: m and z one step on, the gates σ(W_g u +
// b_g), and PLM = W_out z + b_out. The first workgroup of a row stores m and z.

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<uniform> block: Block;
@group(0) @binding(2) var<storage, read> mixed: array<f32>; // [rows, 2, D]: u second
@group(0) @binding(3) var<storage, read> decay: array<Decay>; // [PAIRS]
@group(0) @binding(4) var<storage, read> state: array<f32>; // [slots, layers, TAIL + PVM + PLM, D]
@group(0) @binding(5) var<storage, read> weight: array<WeightWord>; // [3D, K4]: PVM gate, PLM gate, PLM out
@group(0) @binding(6) var<storage, read> bias: array<f32>; // [3D]
@group(0) @binding(7) var<storage, read_write> gates: array<f32>; // [rows, 2, D]: PVM's, PLM's
@group(0) @binding(8) var<storage, read_write> memory: array<f32>; // [rows, 2, D]: m, z
@group(0) @binding(9) var<storage, read_write> plm: array<f32>; // [rows, D]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, invocation: Invocation) {
  let ahead = load_ahead(group.x, invocation);
  let lane = invocation.lane;
  let row = group.y;
  let base = row * 2u * D;
  let memories = run.streams[row].slot * SLOT_STRIDE + block.layer * LAYER_STRIDE + TAIL * D;
  for (var i = lane; i < INPUTS; i += THREADS) {
    inputs[i] = 0.0;
  }
  workgroupBarrier();
  for (var p = lane; p < PAIRS; p += THREADS) {
    advance_pair(p, base, memories, group.x == 0u);
  }
  workgroupBarrier();

  multiply_ahead(group.x, invocation, ahead);
  workgroupBarrier();

  for (var product = lane; product < ROWS_PER_WORKGROUP; product += THREADS) {
    let kind = product / COLUMNS;
    let column = group.x * COLUMNS + product % COLUMNS;
    if (column < D) {
      let value = product_of(product) + bias[kind * D + column];
      if (kind == 2u) {
        plm[row * D + column] = value;
      } else {
        gates[base + kind * D + column] = sigmoid(value);
      }
    }
  }
}
