// Threefry-2x32-20, a counter-based random generator: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"
// (SC 2011). The same key and counter give the same two words on every device.
fn threefry(key: vec2u, counter: vec2u) -> vec2u {
  let schedule = array<u32, 3>(key.x, key.y, 0x1BD11BDAu ^ key.x ^ key.y);
  let rotations = array<u32, 8>(13u, 15u, 26u, 6u, 17u, 29u, 16u, 24u);
  var x = counter + key;
  for (var round = 0u; round < 20u; round++) {
    let r = rotations[round % 8u];
    x.x += x.y;
    x.y = ((x.y << r) | (x.y >> (32u - r))) ^ x.x;
    if (round % 4u == 3u) {
      let turn = round / 4u + 1u;
      x.x += schedule[turn % 3u];
      x.y += schedule[(turn + 1u) % 3u] + turn;
    }
  }
  return x;
}

// ⌊a·b / 2³²⌋
fn multiply_high(a: u32, b: u32) -> u32 {
  let low = (a & 0xFFFFu) * (b & 0xFFFFu);
  let cross = (a >> 16u) * (b & 0xFFFFu) + (low >> 16u);
  let middle = (a & 0xFFFFu) * (b >> 16u) + (cross & 0xFFFFu);
  return (a >> 16u) * (b >> 16u) + (cross >> 16u) + (middle >> 16u);
}
