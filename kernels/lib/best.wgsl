// The best of the tokens that the 256 invocations of a workgroup have found: the largest value, among equals the lowest token.
const NO_TOKEN = 0xFFFFFFFFu;

struct Best {
  value: f32,
  token: u32, // NO_TOKEN: none was found
  broken: u32, // 1: among what was looked at, a value is not finite
}

var<workgroup> bests: array<Best, 256>;

fn comes_before(a: Best, b: Best) -> bool {
  return a.value > b.value || (a.value == b.value && a.token < b.token);
}

fn better(a: Best, b: Best) -> Best {
  var best = a;
  if (b.token != NO_TOKEN && (a.token == NO_TOKEN || comes_before(b, a))) {
    best = b;
  }
  best.broken = a.broken | b.broken;
  return best;
}

// Leaves the best of all in bests[0]: lane 0 can read it at once, the others after a barrier. To be called again only after
// another one.
fn find_best(own: Best, lane: u32) {
  bests[lane] = own;
  for (var width = 128u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) {
      bests[lane] = better(bests[lane], bests[lane + width]);
    }
  }
}
