// Y = X Wᵀ + b for many rows: 32 × 32 tiles of Y, 4 × 4 a thread, one slice of K at a time through shared memory.
override K: u32;
override SLICES: u32; // of 32 columns, the last padded with zeros
override N: u32;
override FIRST_ROW: u32; // of W and b
override IN_STRIDE: u32;
override IN_OFFSET: u32;
override OUT_STRIDE: u32;
override OUT_OFFSET: u32;
override EPILOGUE: u32;
override BIAS: bool;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, IN_STRIDE], K from IN_OFFSET
@group(0) @binding(2) var<storage, read> weight: array<Weight4>; // [≥ FIRST_ROW + N, SLICES · 8]
@group(0) @binding(3) var<storage, read> bias: array<f32>; // [≥ FIRST_ROW + N]
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // [rows, OUT_STRIDE], from OUT_OFFSET

var<workgroup> x_tile: array<vec4f, 256>; // [32 rows, 8]
var<workgroup> w_tile: array<vec4f, 256>; // [32 columns, 8]

fn load_x(row: u32, k: u32) -> f32 {
  if (row < run.rows && k < K) {
    return x[row * IN_STRIDE + IN_OFFSET + k];
  }
  return 0.0;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first_row = group.y * 32u;
  let first_column = group.x * 32u;
  let tile_row = (lane / 8u) * 4u;
  let tile_column = (lane % 8u) * 4u;
  var totals = array<vec4f, 4>();
  for (var slice = 0u; slice < SLICES; slice++) {
    for (var i = lane; i < 256u; i += 64u) {
      let row = first_row + i / 8u;
      let k = slice * 32u + (i % 8u) * 4u;
      x_tile[i] = vec4f(load_x(row, k), load_x(row, k + 1u), load_x(row, k + 2u), load_x(row, k + 3u));
      let column = min(first_column + i / 8u, N - 1u);
      w_tile[i] = unpack_weights(weight[((FIRST_ROW + column) * SLICES + slice) * SLICE4 + i % 8u]);
    }
    workgroupBarrier();
    var sums = array<vec4f, 4>();
    for (var i = 0u; i < SLICE4; i++) {
      let w0 = w_tile[tile_column * 8u + i];
      let w1 = w_tile[(tile_column + 1u) * 8u + i];
      let w2 = w_tile[(tile_column + 2u) * 8u + i];
      let w3 = w_tile[(tile_column + 3u) * 8u + i];
      for (var r = 0u; r < 4u; r++) {
        let v = x_tile[(tile_row + r) * 8u + i];
        var sum = sums[r];
        sum = fma(vec4f(w0.x, w1.x, w2.x, w3.x), vec4f(v.x), sum);
        sum = fma(vec4f(w0.y, w1.y, w2.y, w3.y), vec4f(v.y), sum);
        sum = fma(vec4f(w0.z, w1.z, w2.z, w3.z), vec4f(v.z), sum);
        sum = fma(vec4f(w0.w, w1.w, w2.w, w3.w), vec4f(v.w), sum);
        sums[r] = sum;
      }
    }
    for (var r = 0u; r < 4u; r++) {
      totals[r] += sums[r];
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 4u; r++) {
    let row = first_row + tile_row + r;
    if (row >= run.rows) {
      return;
    }
    let out_row = row * OUT_STRIDE + OUT_OFFSET;
    for (var c = 0u; c < 4u; c += 2u) {
      let column = first_column + tile_column + c;
      if (column < N) {
        store(out_row, column, totals[r][c], totals[r][c + 1u]);
      }
    }
  }
}
