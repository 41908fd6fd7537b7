// Y = X Wᵀ + b for many rows, where a load costs more than arithmetic, as on software adapters: a thread keeps the sums of
// all rows of a tile and two neighbouring columns in registers; the lanes of a subgroup, SHARE at least, share
// out the loads of X and pass it round. No memory of the workgroup, no barrier.
// Text for kernels/unroll.ts: ROWS = GROUPS · SHARE.

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<f32>; // [rows, in_stride], K from in_offset
@group(0) @binding(3) var<storage, read> weight: array<WeightWord>; // [≥ first_row + N, slices · 8]
@group(0) @binding(4) var<storage, read> bias: array<f32>; // [≥ first_row + N]
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [rows, out_stride], from out_offset

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_invocation_id) place: u32,
) {
  let slices = (shape.columns + 31u) / 32u; // the last padded with zeros
  let first_row = group.y * ROWS;
  // for g < GROUPS
  let row$g = first_row + $gu * SHARE + place % SHARE;
  // end
  let column = group.x * 128u + lane * 2u;
  let w = weight_slice(column);
  let v = weight_slice(column + 1u);
  // for g < GROUPS
  // for s < SHARE
  var total$g_$s = vec2f();
  // end
  // end
  for (var slice = 0u; slice < slices; slice++) {
    let scale_w = load_scale(w + slice);
    let scale_v = load_scale(v + slice);
    // for g < GROUPS
    // for s < SHARE
    var sum$g_$s = vec2f();
    // end
    // end
    for (var i = 0u; i < 4u; i++) {
      let k = slice * 32u + i * 8u;
      let w_eight = load_eight(w + slice, i, scale_w);
      let v_eight = load_eight(v + slice, i, scale_v);
      // for g < GROUPS
      let low$g = load_x(row$g, k);
      let high$g = load_x(row$g, k + 4u);
      // for s < SHARE
      {
        let low = subgroupShuffle(low$g, $su);
        let high = subgroupShuffle(high$g, $su);
        sum$g_$s.x = add_eight(w_eight, low, high, sum$g_$s.x);
        sum$g_$s.y = add_eight(v_eight, low, high, sum$g_$s.y);
      }
      // end
      // end
    }
    // for g < GROUPS
    // for s < SHARE
    total$g_$s += sum$g_$s;
    // end
    // end
  }
  // In a loop, for an epilogue is much to compile.
  var totals = array<vec2f, ROWS>(
    // for g < GROUPS
    // for s < SHARE
    total$g_$s,
    // end
    // end
  );
  for (var r = 0u; r < ROWS; r++) {
    if (first_row + r < run.rows && column < shape.outputs) {
      store((first_row + r) * shape.out_stride + shape.out_offset, column, totals[r].x, totals[r].y);
    }
  }
}

// The first slice of a row of W, the last row's beyond it.
fn weight_slice(column: u32) -> u32 {
  return (shape.first_row + min(column, shape.outputs - 1u)) * ((shape.columns + 31u) / 32u);
}
