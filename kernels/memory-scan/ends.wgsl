// The first half of the scan: the memories at the end of each whole chunk of each stream, started from zero. One thread per
// pair and chunk. Nothing continues from a stream's last chunk, so it is skipped.
override D: u32;
override PAIRS: u32; // ⌈D / 2⌉
override CHUNK: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> mixed: array<f32>; // [rows, 2, D]: u second
@group(0) @binding(2) var<storage, read> decay: array<Decay>; // [PAIRS]
@group(0) @binding(3) var<storage, read_write> ends: array<vec4f>; // [streams, chunks, PAIRS]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let p = id.x;
  let chunks = (run.length + CHUNK - 1u) / CHUNK;
  let chunk = id.y % chunks;
  if (p >= PAIRS || chunk == chunks - 1u) {
    return;
  }
  let first_row = id.y / chunks * run.length + chunk * CHUNK;
  var memory = vec4f();
  for (var t = 0u; t < CHUNK; t++) {
    memory = advance(memory, load_pair((first_row + t) * 2u * D + D, p), decay[p]);
  }
  ends[id.y * PAIRS + p] = memory;
}
