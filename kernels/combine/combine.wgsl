// The end of a resonant block: y = u + g_v ⊙ Rot(θ) m + g_l ⊙ PLM, p = (1 − α) x + α e, h += LN2(y + γ·ramp·p), with the
// drive e = W_ph [cos ψ, sin ψ] + b_ph. One workgroup per row; the one with a stream's last row also stores the stream's
// new state: conv tail, m, z.
override D: u32;
override LAYERS: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<uniform> block: Block;
@group(0) @binding(2) var<storage, read> schedule: Schedule;
@group(0) @binding(3) var<storage, read> mixed: array<f32>; // [rows, 2, D]: x, u
@group(0) @binding(4) var<storage, read> gates: array<f32>; // [rows, 2, D]: PVM's, PLM's
@group(0) @binding(5) var<storage, read> memory: array<f32>; // [rows, 2, D]: m, z
@group(0) @binding(6) var<storage, read> plm: array<f32>; // [rows, D]
@group(0) @binding(7) var<storage, read> weights: array<f32>; // [5, D]: norm2 weight, bias; W_ph's columns; b_ph
@group(0) @binding(8) var<storage, read_write> state: array<f32>; // [slots, layers, TAIL + PVM + PLM, D]
@group(0) @binding(9) var<storage, read_write> h: array<f32>; // [rows, D]

var<workgroup> source: array<f32, D>; // y + γ·ramp·p

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let base = row * 2u * D;
  let half = D / 2u;
  let angles = schedule.angles[(schedule.step * run.rows + row) * LAYERS + block.layer];
  for (var d = lane; d < D; d += WORKGROUP) {
    var y = mixed[base + D + d];
    if (PVM) {
      var read_out = memory[base + d];
      if (d < half) {
        read_out = fma(read_out, angles.z, -memory[base + d + half] * angles.w);
      } else if (d < 2u * half) {
        read_out = fma(read_out, angles.z, memory[base + d - half] * angles.w);
      }
      y = fma(gates[base + d], read_out, y);
    }
    if (PLM) {
      y = fma(gates[base + D + d], plm[row * D + d], y);
    }
    let drive = fma(weights[2u * D + d], angles.x, fma(weights[3u * D + d], angles.y, weights[4u * D + d]));
    let p = fma(block.alpha, drive - mixed[base + d], mixed[base + d]);
    source[d] = fma(block.gain, p, y);
  }
  // No barrier: a lane reads only what it wrote itself.
  let statistics = row_statistics(0u, D, lane);
  let last = row % run.length == run.length - 1u;
  let slot = run.streams[row / run.length].slot * SLOT_STRIDE + block.layer * LAYER_STRIDE;
  for (var d = lane; d < D; d += WORKGROUP) {
    h[row * D + d] += fma((source[d] - statistics.x) * statistics.y, weights[d], weights[D + d]);
    if (last) {
      commit(slot, row, d);
    }
  }
}

fn commit(slot: u32, row: u32, d: u32) {
  for (var i = 0u; i < TAIL; i++) {
    // Row i of the new tail is the input of TAIL − 1 − i tokens ago: in this pass, or further on in the old tail.
    let back = TAIL - 1u - i;
    if (back < run.length) {
      state[slot + i * D + d] = mixed[(row - back) * 2u * D + d];
    } else {
      state[slot + i * D + d] = state[slot + (i + run.length) * D + d];
    }
  }
  if (PVM) {
    state[slot + TAIL * D + d] = memory[row * 2u * D + d];
  }
  if (PLM) {
    state[slot + (TAIL + select(0u, 1u, PVM)) * D + d] = memory[row * 2u * D + D + d];
  }
}
