// As memory-step, and the first half of combine, for one token of each stream: m and z one step on, the gates, PLM, and from
// them s = y + γ·ramp·p with y = u + g_v ⊙ Rot(θ) m + g_l ⊙ PLM, p = (1 − α) x + α e, e = W_ph [cos ψ, sin ψ] + b_ph. A
// workgroup computes COLUMNS of each product for one row, so that it has all that s needs there. It replaces x by s, and moves
// its columns of the conv tail one token on: nobody else reads these. m and z wait for `combine-up`, since here every workgroup
// reads the old ones.
override LAYERS: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<uniform> block: Block;
@group(0) @binding(2) var<storage, read> schedule: Schedule;
@group(0) @binding(3) var<storage, read_write> mixed: array<f32>; // [rows, 2, D]: x, replaced by s; u
@group(0) @binding(4) var<storage, read> decay: array<Decay>; // [PAIRS]
@group(0) @binding(5) var<storage, read_write> state: array<f32>; // [slots, layers, TAIL + PVM + PLM, D], the tail is written
@group(0) @binding(6) var<storage, read> weight: array<WeightWord>; // [3D, K4]: PVM gate, PLM gate, PLM out
@group(0) @binding(7) var<storage, read> vectors: array<f32>; // [6, D]: the three biases; W_ph's columns; b_ph
@group(0) @binding(8) var<storage, read_write> gates: array<f32>; // [rows, 2, D]: PVM's, PLM's
@group(0) @binding(9) var<storage, read_write> memory: array<f32>; // [rows, 2, D]: m, z

var<workgroup> vector_memory: array<f32, D>; // m

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, invocation: Invocation) {
  let ahead = load_ahead(group.x, invocation);
  let lane = invocation.lane;
  let row = group.y;
  let base = row * 2u * D;
  let tail = run.streams[row].slot * SLOT_STRIDE + block.layer * LAYER_STRIDE;
  let memories = tail + TAIL * D;
  for (var i = lane; i < INPUTS; i += THREADS) {
    inputs[i] = 0.0;
  }
  workgroupBarrier();
  for (var p = lane; p < PAIRS; p += THREADS) {
    let now = advance_pair(p, base, memories, group.x == 0u);
    vector_memory[pair_first(p, D)] = now.x;
    if (pair_is_whole(p, D)) {
      vector_memory[p + D / 2u] = now.y;
    }
  }
  workgroupBarrier();

  multiply_ahead(group.x, invocation, ahead);
  workgroupBarrier();

  let angles = schedule.angles[(schedule.step * run.rows + row) * LAYERS + block.layer];
  for (var c = lane; c < COLUMNS; c += THREADS) {
    let d = group.x * COLUMNS + c;
    if (d >= D) {
      break;
    }
    let x = mixed[base + d];
    var y = inputs[place_of(d)];
    let pvm_gate = sigmoid(product_of(c) + vectors[d]);
    gates[base + d] = pvm_gate;
    if (PVM) {
      y = fma(pvm_gate, read_out(d, angles.zw), y);
    }
    if (PLM) {
      let plm_gate = sigmoid(product_of(COLUMNS + c) + vectors[D + d]);
      gates[base + D + d] = plm_gate;
      y = fma(plm_gate, product_of(2u * COLUMNS + c) + vectors[2u * D + d], y);
    }
    let drive = fma(vectors[3u * D + d], angles.x, fma(vectors[4u * D + d], angles.y, vectors[5u * D + d]));
    let p = fma(block.alpha, drive - x, x);
    mixed[base + d] = fma(block.gain, p, y);
    for (var i = 0u; i + 1u < TAIL; i++) {
      state[tail + i * D + d] = state[tail + (i + 1u) * D + d];
    }
    if (TAIL > 0u) {
      state[tail + (TAIL - 1u) * D + d] = x;
    }
  }
}

// Rot(θ) m, whose pairs are (m[d], m[d + ⌊D/2⌋]).
fn read_out(d: u32, angle: vec2f) -> f32 {
  let half = D / 2u;
  if (d < half) {
    return fma(vector_memory[d], angle.x, -vector_memory[d + half] * angle.y);
  }
  if (d < 2u * half) {
    return fma(vector_memory[d], angle.x, vector_memory[d - half] * angle.y);
  }
  return vector_memory[d];
}
