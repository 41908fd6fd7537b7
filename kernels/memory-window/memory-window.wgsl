// What the last SPAN tokens alone leave in both memories: w = gain ⊙ Σ_{i < SPAN} f^i ⊙ u_{t−i}, and 1 / its length, or 0
// if it is zero. f is β for the PVM and λe^{iω} for the lattice. The result depends only on those tokens, bit for bit. A
// vector is QUADS vec4s of the pairs' first elements, then QUADS of their second elements. One workgroup per row.
override QUADS: u32;
override SPAN: u32;

struct Fade {
  beta: vec4f,
  re: vec4f, // λe^{iω}
  im: vec4f,
  pvm_gain: vec4f,
  plm_gain: vec4f,
}

@group(0) @binding(0) var<storage, read> features: array<vec4f>; // [slots, 2, QUADS]
@group(0) @binding(1) var<storage, read> slots: array<u32>; // [SPAN − 1 + rows]: where each token's feature is
@group(0) @binding(2) var<storage, read> fades: array<Fade>; // [QUADS]
@group(0) @binding(3) var<storage, read_write> windows: array<vec4f>; // [rows, 2, 2, QUADS]: PVM's, PLM's
@group(0) @binding(4) var<storage, read_write> scales: array<vec2f>; // [rows]: PVM's, PLM's

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let base = row * 4u * QUADS;
  var squares = vec2f();
  for (var q = lane; q < QUADS; q += WORKGROUP) {
    let fade = fades[q];
    var m_re = vec4f();
    var m_im = vec4f();
    var z_re = vec4f();
    var z_im = vec4f();
    for (var i = 0u; i < SPAN; i++) {
      let feature = slots[row + i] * 2u * QUADS + q;
      let u_re = features[feature];
      let u_im = features[feature + QUADS];
      m_re = fma(fade.beta, m_re, u_re);
      m_im = fma(fade.beta, m_im, u_im);
      let re = fma(fade.re, z_re, fma(-fade.im, z_im, u_re));
      z_im = fma(fade.re, z_im, fma(fade.im, z_re, u_im));
      z_re = re;
    }
    m_re *= fade.pvm_gain;
    m_im *= fade.pvm_gain;
    z_re *= fade.plm_gain;
    z_im *= fade.plm_gain;
    squares += vec2f(dot(m_re, m_re) + dot(m_im, m_im), dot(z_re, z_re) + dot(z_im, z_im));
    windows[base + q] = m_re;
    windows[base + QUADS + q] = m_im;
    windows[base + 2u * QUADS + q] = z_re;
    windows[base + 3u * QUADS + q] = z_im;
  }
  let pvm = workgroup_sum(squares.x, lane);
  let plm = workgroup_sum(squares.y, lane);
  if (lane == 0u) {
    scales[row] = vec2f(one_over(sqrt(pvm)), one_over(sqrt(plm)));
  }
}

fn one_over(length: f32) -> f32 {
  return select(0.0, 1.0 / length, length > 0.0);
}
