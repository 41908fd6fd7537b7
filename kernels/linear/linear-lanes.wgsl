// Y = X Wᵀ + b in tiles, where a load costs more than arithmetic, as on software adapters. A thread keeps the sums of eight
// rows and PAIRS pairs of neighbouring columns in registers. At least SHARED_LOAD_LANES lanes of a subgroup share the loads
// of X: each loads a part and passes it to the others. No workgroup memory, no barrier.
// This is text for kernels/unroll.ts: ROWS = 8 = GROUPS · SHARED_LOAD_LANES.

enable subgroups;

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
  let row$g = first_row + $gu * SHARED_LOAD_LANES + place % SHARED_LOAD_LANES;
  // end
  // for p < PAIRS
  let column$p = (group.x * PAIRS + $pu) * 128u + lane * 2u;
  let w_row$p = weight_row(column$p);
  let v_row$p = weight_row(column$p + 1u);
  // end
  // for g < GROUPS
  // for s < SHARED_LOAD_LANES
  // for p < PAIRS
  var total$g_$s_$p = vec2f();
  // end
  // end
  // end
  for (var slice = 0u; slice < slices; slice++) {
    // for p < PAIRS
    let w$p = slice_at(w_row$p, slice, slices);
    let v$p = slice_at(v_row$p, slice, slices);
    let scale_w$p = load_scale(w$p);
    let scale_v$p = load_scale(v$p);
    // end
    // for g < GROUPS
    // for s < SHARED_LOAD_LANES
    // for p < PAIRS
    var sum$g_$s_$p = vec2f();
    // end
    // end
    // end
    for (var i = 0u; i < 4u; i++) {
      let k = slice * 32u + i * 8u;
      // for p < PAIRS
      let w_eight$p = load_eight(w$p, i, scale_w$p);
      let v_eight$p = load_eight(v$p, i, scale_v$p);
      // end
      // for g < GROUPS
      let low$g = load_x(row$g, k);
      let high$g = load_x(row$g, k + 4u);
      // for s < SHARED_LOAD_LANES
      {
        let low = subgroupShuffle(low$g, $su);
        let high = subgroupShuffle(high$g, $su);
        // for p < PAIRS
        sum$g_$s_$p.x = add_eight(w_eight$p, low, high, sum$g_$s_$p.x);
        sum$g_$s_$p.y = add_eight(v_eight$p, low, high, sum$g_$s_$p.y);
        // end
      }
      // end
      // end
    }
    // for g < GROUPS
    // for s < SHARED_LOAD_LANES
    // for p < PAIRS
    total$g_$s_$p += sum$g_$s_$p;
    // end
    // end
    // end
  }
  // In a loop, because an epilogue takes long to compile.
  var totals = array<vec2f, ROWS * PAIRS>(
    // for g < GROUPS
    // for s < SHARED_LOAD_LANES
    // for p < PAIRS
    total$g_$s_$p,
    // end
    // end
    // end
  );
  for (var i = 0u; i < ROWS * PAIRS; i++) {
    let row = first_row + i / PAIRS;
    let column = (group.x * PAIRS + i % PAIRS) * 128u + lane * 2u;
    if (row < run.rows && column < shape.outputs) {
      store(row * shape.out_stride + shape.out_offset, column, totals[i].x, totals[i].y);
    }
  }
}

// A column's row of W; beyond the last one, the last one.
fn weight_row(column: u32) -> u32 {
  return shape.first_row + min(column, shape.outputs - 1u);
}
