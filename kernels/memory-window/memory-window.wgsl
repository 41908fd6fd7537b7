// What the last SPAN tokens alone leave in both memories, w = gain ⊙ Σ_{i < SPAN} f^i ⊙ u_{t−i}, each scaled to length 1;
// one that is zero stays zero. f is β, and λe^{iω} for the lattice. It depends on those tokens only, bit for bit.
// One workgroup a row.
override D: u32;
override PAIRS: u32; // ⌈D / 2⌉
override SPAN: u32;

struct Fade {
  factor: vec4f, // β, Re λe^{iω}, Im λe^{iω}, unused
  gain: vec4f, // PVM's, PLM's, unused
}

@group(0) @binding(0) var<storage, read> features: array<f32>; // [slots, D]
@group(0) @binding(1) var<storage, read> slots: array<u32>; // [SPAN − 1 + rows]: where each token's feature is
@group(0) @binding(2) var<storage, read> fades: array<Fade>; // [PAIRS]
@group(0) @binding(3) var<storage, read_write> windows: array<f32>; // [rows, 2, D]: PVM's, PLM's

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let base = row * 2u * D;
  var squares = vec2f();
  for (var p = lane; p < PAIRS; p += WORKGROUP) {
    let whole = pair_is_whole(p, D);
    let first = pair_first(p, D);
    let fade = fades[p];
    var m = vec2f();
    var z = vec2f();
    for (var i = 0u; i < SPAN; i++) {
      let feature = slots[row + i] * D;
      let u = vec2f(features[feature + first], select(0.0, features[feature + p + select(0u, D / 2u, whole)], whole));
      m = fma(vec2f(fade.factor.x), m, u);
      z = vec2f(
        fma(fade.factor.y, z.x, fma(-fade.factor.z, z.y, u.x)),
        fma(fade.factor.y, z.y, fma(fade.factor.z, z.x, u.y)),
      );
    }
    m *= fade.gain.x;
    z *= select(0.0, fade.gain.y, whole); // an odd D's last element is in no pair
    squares += vec2f(dot(m, m), dot(z, z));
    windows[base + first] = m.x;
    windows[base + D + first] = z.x;
    if (whole) {
      windows[base + p + D / 2u] = m.y;
      windows[base + D + p + D / 2u] = z.y;
    }
  }
  let scale = vec2f(
    one_over(sqrt(workgroup_sum(squares.x, lane))),
    one_over(sqrt(workgroup_sum(squares.y, lane))),
  );
  for (var p = lane; p < PAIRS; p += WORKGROUP) {
    let first = pair_first(p, D);
    windows[base + first] *= scale.x;
    windows[base + D + first] *= scale.y;
    if (pair_is_whole(p, D)) {
      windows[base + p + D / 2u] *= scale.x;
      windows[base + D + p + D / 2u] *= scale.y;
    }
  }
}

fn one_over(length: f32) -> f32 {
  return select(0.0, 1.0 / length, length > 0.0);
}
