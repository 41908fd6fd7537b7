// Y = X Wᵀ + b in tiles that go through a workgroup's memory, half a slice of K at a time. A thread sums ROWS rows of X,
// ROW_GROUPS apart, times two pairs of neighbouring columns, 2 COLUMN_GROUPS apart. Of 32 lanes, 8 by 4 share their columns
// and rows.
// This is text for kernels/unroll.ts: ROWS, ROW_GROUPS and COLUMN_GROUPS, a multiple of 8, are constants before it.

const THREADS = ROW_GROUPS * COLUMN_GROUPS;
const TILE_ROWS = ROWS * ROW_GROUPS;
const TILE_COLUMNS = 4u * COLUMN_GROUPS;
const QUADS = 4u; // vec4s of a row in half a slice

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<f32>; // [rows, in_stride], K from in_offset
@group(0) @binding(3) var<storage, read> weight: array<WeightWord>; // [≥ first_row + N, slices · 8]
@group(0) @binding(4) var<storage, read> bias: array<f32>; // [≥ first_row + N]
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [rows, out_stride], from out_offset

var<workgroup> x_tile: array<vec4f, TILE_ROWS * QUADS>; // by `place`
var<workgroup> w_tile: array<vec4f, TILE_COLUMNS * QUADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first_row = group.y * TILE_ROWS;
  let first_column = group.x * TILE_COLUMNS;
  let row_group = lane / 8u % 4u + lane / (4u * COLUMN_GROUPS) * 4u;
  let column_group = lane % 8u + lane / 32u % (COLUMN_GROUPS / 8u) * 8u;
  let x_line = line_of(row_group);
  let x_turn = turn_of(row_group);
  let w_line = line_of(2u * column_group);
  let w_turn = turn_of(2u * column_group);
  let slices = (shape.columns + 31u) / 32u; // the last padded with zeros
  // for r < ROWS
  var total$r = vec4f();
  // end
  for (var slice = 0u; slice < slices; slice++) {
    // for r < ROWS
    var sum$r = vec4f();
    // end
    for (var half = 0u; half < 2u; half++) {
      for (var i = lane; i < TILE_ROWS * QUADS; i += THREADS) {
        let line = i / QUADS;
        let quad = i % QUADS;
        x_tile[place(line_of(line), turn_of(line % ROW_GROUPS), quad)] =
          load_x(first_row + line, slice * 32u + half * 16u + quad * 4u);
      }
      // Eight neighbouring columns first: a subgroup reads whole lines of memory, whether rows of W are interleaved or not.
      for (var i = lane; i < TILE_COLUMNS * QUADS; i += THREADS) {
        let line = i / 32u * 8u + i % 8u;
        let quad = i / 8u % QUADS;
        let row = shape.first_row + min(first_column + line, shape.outputs - 1u);
        w_tile[place(line_of(line), turn_of(line), quad)] =
          load_four(slice_at(row, slice, slices), half * QUADS + quad);
      }
      workgroupBarrier();
      for (var quad = 0u; quad < QUADS; quad++) {
        let w_at = place(w_line, w_turn, quad);
        let next_at = place(w_line ^ 1u, w_turn ^ 2u, quad);
        let columns = transpose(mat4x4f(
          w_tile[w_at],
          w_tile[next_at],
          w_tile[w_at + 2u * COLUMN_GROUPS * QUADS],
          w_tile[next_at + 2u * COLUMN_GROUPS * QUADS],
        ));
        let x_at = place(x_line, x_turn, quad);
        // for r < ROWS
        sum$r = add_products(columns, x_tile[x_at + $ru * ROW_GROUPS * QUADS], sum$r);
        // end
      }
      workgroupBarrier();
    }
    // for r < ROWS
    total$r += sum$r;
    // end
  }
  let row = first_row + row_group;
  let column = first_column + 2u * column_group;
  // for r < ROWS
  store_pairs(row + $ru * ROW_GROUPS, column, total$r);
  // end
}

// Where a line's vec4s lie in a tile. A GPU reads eight lanes' vec4s at once if they lie in eight different places modulo
// eight. So do those of eight neighbouring lines, and of every second of 16 lines, at the same quad, and the quads of two
// neighbouring lines.
fn place(line: u32, turn: u32, quad: u32) -> u32 {
  return line * QUADS + (quad ^ turn);
}

fn line_of(line: u32) -> u32 {
  return line ^ ((line >> 1u) & 1u);
}

fn turn_of(line: u32) -> u32 {
  return ((line >> 2u) + 2u * (line & 1u)) & 3u;
}

fn store_pairs(row: u32, column: u32, sums: vec4f) {
  if (row < run.rows) {
    let out_row = row * shape.out_stride + shape.out_offset;
    if (column < shape.outputs) {
      store(out_row, column, sums.x, sums.y);
    }
    if (column + 2u * COLUMN_GROUPS < shape.outputs) {
      store(out_row, column + 2u * COLUMN_GROUPS, sums.z, sums.w);
    }
  }
}
