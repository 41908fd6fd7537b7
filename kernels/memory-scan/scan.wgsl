// The second half of the scan: both memories after every token of a pass. One thread per pair and chunk carries the state
// over the ends of the chunks before it, then steps through its own chunk. The last memory of a whole chunk is its carry,
// so that a prompt cut there continues with exactly the same numbers.
override D: u32;
override PAIRS: u32; // ⌈D / 2⌉
override CHUNK: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<uniform> block: Block;
@group(0) @binding(2) var<storage, read> mixed: array<f32>; // [rows, 2, D]: u second
@group(0) @binding(3) var<storage, read> decay: array<Decay>; // [PAIRS]
@group(0) @binding(4) var<storage, read> state: array<f32>; // [slots, layers, TAIL + PVM + PLM, D]
@group(0) @binding(5) var<storage, read> ends: array<vec4f>; // [streams, chunks, PAIRS]
@group(0) @binding(6) var<storage, read_write> memory: array<f32>; // [rows, 2, D]: m, z

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let p = id.x;
  if (p >= PAIRS) {
    return;
  }
  let chunks = (run.length + CHUNK - 1u) / CHUNK;
  let stream = id.y / chunks;
  let chunk = id.y % chunks;
  let base = run.streams[stream].slot * SLOT_STRIDE + block.layer * LAYER_STRIDE + TAIL * D;
  var now = vec4f();
  if (PVM) {
    now = vec4f(load_state(base, p), now.zw);
  }
  if (PLM) {
    now = vec4f(now.xy, load_state(base + select(0u, D, PVM), p));
  }
  for (var c = 0u; c < chunk; c++) {
    now = carry(now, ends[(stream * chunks + c) * PAIRS + p], decay[p]);
  }
  let start = now;
  let first = chunk * CHUNK;
  let length = min(CHUNK, run.length - first);
  var end = vec4f(); // end of this chunk started from zero, for its carry
  for (var t = 0u; t < length; t++) {
    let row = stream * run.length + first + t;
    let u = load_pair(row * 2u * D + D, p);
    now = advance(now, u, decay[p]);
    end = advance(end, u, decay[p]);
    if (t == CHUNK - 1u) {
      now = carry(start, end, decay[p]);
    }
    store_pair(row * 2u * D, p, now.xy);
    store_pair(row * 2u * D + D, p, now.zw);
  }
}

fn load_state(base: u32, p: u32) -> vec2f {
  let first = state[base + pair_first(p, D)];
  if (pair_is_whole(p, D)) {
    return vec2f(first, state[base + p + D / 2u]);
  }
  return vec2f(first, 0.0);
}

fn store_pair(base: u32, p: u32, value: vec2f) {
  memory[base + pair_first(p, D)] = value.x;
  if (pair_is_whole(p, D)) {
    memory[base + p + D / 2u] = value.y;
  }
}
