// SPEC §4's metrics of one block after each token: the PVM's order parameter R = |Σ m_j| / Σ |m_j| over its pairs, the
// lattice's coherence |Σ cells| / Σ |cells| averaged over components, the mean of the PVM gate, and the mean |m[d]|. One
// workgroup per row. The cells of a component are the inverse 2-D DFT of its modes; the host supplies the table of factors.
override D: u32;
override LAYERS: u32;
override CELLS: u32; // G = Gx · Gy
override COMPONENTS: u32; // 0 without a PLM
override PVM: bool;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<uniform> block: Block;
@group(0) @binding(2) var<storage, read> schedule: Schedule;
@group(0) @binding(3) var<storage, read> memory: array<f32>; // [rows, 2, D]: m, z
@group(0) @binding(4) var<storage, read> gates: array<f32>; // [rows, 2, D]: PVM's, PLM's
@group(0) @binding(5) var<storage, read> lattice: array<vec2f>; // [CELLS, CELLS]: e^{2πi(px/Gx + qy/Gy)}, cell by mode
@group(0) @binding(6) var<storage, read_write> metrics: array<vec4f>; // [steps, rows, LAYERS]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let base = row * 2u * D;
  let half = D / 2u;
  var result = vec4f();
  if (PVM) {
    var sum = vec2f();
    var moduli = 0.0;
    for (var j = lane; j < half; j += WORKGROUP) {
      let m = vec2f(memory[base + j], memory[base + j + half]);
      sum += m;
      moduli += length(m);
    }
    let re = workgroup_sum(sum.x, lane);
    let im = workgroup_sum(sum.y, lane);
    result.x = ratio(length(vec2f(re, im)), workgroup_sum(moduli, lane));
    var gate = 0.0;
    var size = 0.0;
    for (var d = lane; d < D; d += WORKGROUP) {
      gate += gates[base + d];
      size += abs(memory[base + d]);
    }
    result.z = workgroup_sum(gate, lane) / f32(D);
    result.w = workgroup_sum(size, lane) / f32(D);
  }
  if (COMPONENTS > 0u) {
    var coherence = 0.0;
    for (var c = lane; c < COMPONENTS; c += WORKGROUP) {
      coherence += component_coherence(base + D + c * CELLS, half);
    }
    result.y = workgroup_sum(coherence, lane) / f32(COMPONENTS);
  }
  if (lane == 0u) {
    metrics[(schedule.step * run.rows + row) * LAYERS + block.layer] = result;
  }
}

fn component_coherence(modes: u32, half: u32) -> f32 {
  var sum = vec2f();
  var moduli = 0.0;
  for (var n = 0u; n < CELLS; n++) {
    var cell = vec2f();
    for (var g = 0u; g < CELLS; g++) {
      let z = vec2f(memory[modes + g], memory[modes + half + g]);
      let w = lattice[n * CELLS + g];
      cell += vec2f(fma(z.x, w.x, -(z.y * w.y)), fma(z.x, w.y, z.y * w.x));
    }
    sum += cell;
    moduli += length(cell);
  }
  return ratio(length(sum), moduli);
}

fn ratio(part: f32, whole: f32) -> f32 {
  return select(0.0, part / whole, whole > 0.0);
}
