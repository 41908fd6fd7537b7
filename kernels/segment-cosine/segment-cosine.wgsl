// The cosine of each window with each segment of the cues, from products with segments of length 1: for the vector memory
// the product itself, for the lattice the modulus of the complex product. One thread per row and segment; rows go round a
// ring.
override SEGMENTS: u32;
override RING: u32;

struct RingRows {
  count: u32,
  first: u32, // place of the first row in the ring
}

@group(0) @binding(0) var<uniform> rows: RingRows;
@group(0) @binding(1) var<storage, read> products: array<f32>; // [rows, 3 · SEGMENTS]: PVM's, then PLM's re and im in turn
@group(0) @binding(2) var<storage, read> scales: array<vec2f>; // [rows]: 1 / length of each window
@group(0) @binding(3) var<storage, read_write> cosines: array<vec2f>; // [RING, SEGMENTS]: PVM's, PLM's

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let segment = id.x;
  let row = id.y;
  if (segment >= SEGMENTS || row >= rows.count) {
    return;
  }
  let base = row * 3u * SEGMENTS;
  let lattice = vec2f(products[base + SEGMENTS + 2u * segment], products[base + SEGMENTS + 2u * segment + 1u]);
  cosines[(rows.first + row) % RING * SEGMENTS + segment] = vec2f(products[base + segment], length(lattice)) * scales[row];
}
