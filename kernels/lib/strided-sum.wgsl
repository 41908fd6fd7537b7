// Σ term(input(v)) over v < VOCAB by the 256 invocations of a workgroup: all compute terms, and 64 add them up, each every 64th in
// turn. That and the sum of the 64 is the order of kernels with 64 invocations and `workgroup_sum` (reduce.wgsl): the
// bits are the same. The kernel that uses this defines `input(v)` and `term(input)`.
const TILE = 1536u; // 6 terms an invocation, 24 an adding one

var<workgroup> terms: array<f32, 3072>; // two tiles: one is filled while the other is added up

fn strided_sum(lane: u32) -> f32 {
  var sum = 0.0;
  var side = 0u;
  // for j < AHEAD
  var next$j = input_or_last(lane + $ju * 256u);
  // end
  for (var tile = 0u; tile < VOCAB; tile += TILE) {
    // The next tile is on its way while this one's terms are computed and added up.
    // for j < AHEAD
    let now$j = next$j;
    next$j = input_or_last(tile + TILE + lane + $ju * 256u);
    // end
    // for j < AHEAD
    terms[side + lane + $ju * 256u] = select(0.0, term(now$j), tile + lane + $ju * 256u < VOCAB);
    // end
    workgroupBarrier();
    if (lane < 64u) {
      for (var i = 0u; i < TILE; i += 64u) {
        sum += terms[side + i + lane]; // beyond the vocabulary it is 0, which changes no bit
      }
    }
    side = TILE - side;
  }
  return workgroup_sum(sum, lane);
}

fn input_or_last(v: u32) -> f32 {
  return input(min(v, VOCAB - 1u));
}
