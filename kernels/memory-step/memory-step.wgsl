// Both memories for one token of each stream, and the products that need them: m and z one step on, the gates σ(W_g u +
// b_g), and PLM = W_out z + b_out. A workgroup computes COLUMNS of each product for one row; the first one stores m and z.
// Gates without a matrix (GATE_SLICES 0) are σ(b_g). Without a PLM there is one product, the PVM's gate.
override D: u32;
override PAIRS: u32; // ⌈D / 2⌉
override COLUMNS: u32;
override GATE_SLICES: u32; // SLICES, or 0 for a gate without a matrix

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

override K = SLICES * 32u;
override INPUTS = 2u * K;
// Scalars, not vectors: threads write single elements, and writing one component of a vector may touch the others.
var<workgroup> inputs: array<f32, INPUTS>; // [2, K]: u, z, padded with zeros

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, invocation: Invocation) {
  let ahead = load_ahead(group.x, invocation);
  let lane = invocation.lane;
  let row = group.y;
  let base = row * 2u * D;
  let state_base = run.streams[row].slot * SLOT_STRIDE + block.layer * LAYER_STRIDE + TAIL * D;
  for (var i = lane; i < INPUTS; i += THREADS) {
    inputs[i] = 0.0;
  }
  workgroupBarrier();
  for (var p = lane; p < PAIRS; p += THREADS) {
    let first = pair_first(p, D);
    let second = p + D / 2u;
    let whole = pair_is_whole(p, D);
    var u = vec2f(mixed[base + D + first], 0.0);
    var now = vec4f();
    if (PVM) {
      now.x = state[state_base + first];
    }
    if (PLM) {
      now.z = state[state_base + select(0u, D, PVM) + first];
    }
    if (whole) {
      u.y = mixed[base + D + second];
      if (PVM) {
        now.y = state[state_base + second];
      }
      if (PLM) {
        now.w = state[state_base + select(0u, D, PVM) + second];
      }
    }
    now = advance(now, u, decay[p]);
    inputs[place_of(first)] = u.x;
    inputs[place_of(K + first)] = now.z;
    if (whole) {
      inputs[place_of(second)] = u.y;
      inputs[place_of(K + second)] = now.w;
    }
    if (group.x == 0u) {
      memory[base + first] = now.x;
      memory[base + D + first] = now.z;
      if (whole) {
        memory[base + second] = now.y;
        memory[base + D + second] = now.w;
      }
    }
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

// Where the k-th input lies.
fn place_of(k: u32) -> u32 {
  return input_place(k / 4u) * 4u + k % 4u;
}

fn weight_row(group: u32, product: u32) -> u32 {
  return product / COLUMNS * D + min(group * COLUMNS + product % COLUMNS, D - 1u);
}

fn input4(i: u32) -> vec4f {
  let k = input_place(i) * 4u;
  return vec4f(inputs[k], inputs[k + 1u], inputs[k + 2u], inputs[k + 3u]);
}

fn slices_of(first: u32) -> u32 {
  return select(GATE_SLICES, SLICES, first / COLUMNS == 2u);
}

fn input_start(first: u32) -> u32 {
  return select(0u, K4, first / COLUMNS == 2u);
}
