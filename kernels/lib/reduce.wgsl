// Sums over the 64 invocations of a workgroup, always in the same order (8 groups of 8, then the 8 groups),
// so that a result depends neither on the subgroup size nor on the kernel that asks for it. What a larger workgroup's other
// invocations have is left out.
const WORKGROUP = 64u;
var<workgroup> lane_values: array<f32, 64>;
var<workgroup> group_sums: array<f32, 8>;

fn workgroup_sum(value: f32, lane: u32) -> f32 {
  if (lane < WORKGROUP) {
    lane_values[lane] = value;
  }
  workgroupBarrier();
  if (lane < 8u) {
    var sum = 0.0;
    for (var i = 0u; i < 8u; i++) {
      sum += lane_values[lane * 8u + i];
    }
    group_sums[lane] = sum;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < 8u; i++) {
    total += group_sums[i];
  }
  return total;
}
