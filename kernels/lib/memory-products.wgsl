// What memory-step and memory-combine share: the products of both memories, and what they read. A workgroup computes COLUMNS of
// each product for one row: of the PVM's gate, the PLM's gate and the PLM's W_out. Gates without a matrix (GATE_SLICES 0) are
// σ(b_g). Without a PLM there is one product, the PVM's gate. The kernel binds `mixed`, `decay`, `state` and `memory`.
override D: u32;
override PAIRS: u32; // ⌈D / 2⌉
override COLUMNS: u32;
override GATE_SLICES: u32; // SLICES, or 0 for a gate without a matrix

override K = SLICES * 32u;
override INPUTS = 2u * K;
// Scalars, not vectors: threads write single elements, and writing one component of a vector may touch the others.
var<workgroup> inputs: array<f32, INPUTS>; // [2, K]: u, z, padded with zeros

// Pair p of a row's memories one step on (xy: m, zw: z) becomes input of the products, and is stored if `stores`. `base`: the
// row in `mixed` and `memory`; `memories`: where its m and z lie in `state`.
fn advance_pair(p: u32, base: u32, memories: u32, stores: bool) -> vec4f {
  let first = pair_first(p, D);
  let second = p + D / 2u;
  let whole = pair_is_whole(p, D);
  var u = vec2f(mixed[base + D + first], 0.0);
  var now = vec4f();
  if (PVM) {
    now.x = state[memories + first];
  }
  if (PLM) {
    now.z = state[memories + select(0u, D, PVM) + first];
  }
  if (whole) {
    u.y = mixed[base + D + second];
    if (PVM) {
      now.y = state[memories + second];
    }
    if (PLM) {
      now.w = state[memories + select(0u, D, PVM) + second];
    }
  }
  now = advance(now, u, decay[p]);
  inputs[place_of(first)] = u.x;
  inputs[place_of(K + first)] = now.z;
  if (whole) {
    inputs[place_of(second)] = u.y;
    inputs[place_of(K + second)] = now.w;
  }
  if (stores) {
    memory[base + first] = now.x;
    memory[base + D + first] = now.z;
    if (whole) {
      memory[base + second] = now.y;
      memory[base + D + second] = now.w;
    }
  }
  return now;
}

// Where the k-th input lies.
fn place_of(k: u32) -> u32 {
  return input_place(k / 4u) * 4u + k % 4u;
}

fn weight_row(group: u32, product: u32) -> u32 {
  return product / COLUMNS * D + min(group * COLUMNS + product % COLUMNS, D - 1u);
}

fn input4(i: u32) -> vec4f {
  let k = input_place(i) * 4u;
  return vec4f(inputs[k], inputs[k + 1u], inputs[k + 2u], inputs[k + 3u]);
}

fn slices_of(first: u32) -> u32 {
  return select(GATE_SLICES, SLICES, first / COLUMNS == 2u);
}

fn input_start(first: u32) -> u32 {
  return select(0u, K4, first / COLUMNS == 2u);
}
