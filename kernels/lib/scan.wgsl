// Sums over the invocations up to and with one's own, of the 256 of a workgroup. They are whole numbers, so the order of
// addition does not matter.
var<workgroup> scanned: array<vec2u, 512>;

// Leaves the sum over all in `scanned[255]`. To be called again only after a barrier.
fn inclusive_sum(own: vec2u, lane: u32) -> vec2u {
  var sum = own;
  var side = 0u; // each round reads one half of the memory and writes the other
  scanned[lane] = sum;
  for (var width = 1u; width < 256u; width *= 2u) {
    workgroupBarrier();
    if (lane >= width) {
      sum += scanned[side + lane - width];
    }
    side = 256u - side;
    scanned[side + lane] = sum;
  }
  workgroupBarrier();
  return sum;
}
