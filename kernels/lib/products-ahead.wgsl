// Each thread computes whole slices; product_of adds them in order. For GPUs: neighbouring threads take neighbouring rows, and
// a thread loads the weights of AT_ONCE slices before it multiplies by any, and those of the next ones before these. The
// first loads can begin before the input is there: `load_ahead`.
// This is text for kernels/unroll.ts: what is loaded must be in registers.
override THREADS: u32 = 64u;
override PARTIALS = ROWS_PER_WORKGROUP * SLICES;

var<workgroup> partial: array<f32, PARTIALS>; // [SLICES, ROWS_PER_WORKGROUP]: no two threads in one bank

// The weights of a slice, decoded.
struct Eights {
  // for i < 4
  eight$i: Eight,
  // end
}

struct Ahead {
  // for s < AT_ONCE
  slice$s: SliceWords,
  // end
}

fn load_ahead(group: u32, invocation: Invocation) -> Ahead {
  return load_tasks(group, invocation.lane);
}

// The weights of a thread's next AT_ONCE tasks.
fn load_tasks(group: u32, first: u32) -> Ahead {
  var ahead = Ahead();
  // for s < AT_ONCE
  let task$s = first + $su * THREADS;
  if (has_weights(task$s)) {
    let product = task$s % ROWS_PER_WORKGROUP;
    ahead.slice$s = load_slice(slice_at(weight_row(group, product), task$s / ROWS_PER_WORKGROUP, SLICES));
  }
  // end
  return ahead;
}

fn has_weights(task: u32) -> bool {
  return task < PARTIALS && task / ROWS_PER_WORKGROUP < slices_of(task % ROWS_PER_WORKGROUP);
}

fn multiply_ahead(group: u32, invocation: Invocation, first_loads: Ahead) {
  var loaded = first_loads;
  for (var first = invocation.lane; first < PARTIALS; first += AT_ONCE * THREADS) {
    let next = load_tasks(group, first + AT_ONCE * THREADS);
    // for s < AT_ONCE
    add_slice(first + $su * THREADS, loaded.slice$s);
    // end
    loaded = next;
  }
}

fn add_slice(task: u32, words: SliceWords) {
  if (task >= PARTIALS) {
    return;
  }
  var sum = 0.0;
  if (has_weights(task)) {
    let weights = eights_of(words);
    let start = input_start(task % ROWS_PER_WORKGROUP) + task / ROWS_PER_WORKGROUP * SLICE4;
    // for i < 4
    sum = add_eight(weights.eight$i, input4(start + 2u * $iu), input4(start + 2u * $iu + 1u), sum);
    // end
  }
  partial[task] = sum;
}

fn multiply(group: u32, invocation: Invocation) {
  multiply_ahead(group, invocation, load_ahead(group, invocation));
}

// Where the i-th four inputs lie: threads with different slices read from different banks.
fn input_place(i: u32) -> u32 {
  return i ^ (i / SLICE4 % SLICE4);
}

fn product_of(product: u32) -> f32 {
  var total = 0.0;
  var at = product;
  // The sums wait for each other, but their loads need not.
  for (; at + 7u * ROWS_PER_WORKGROUP < PARTIALS; at += 8u * ROWS_PER_WORKGROUP) {
    // for i < 8
    let sum$i = partial[at + $iu * ROWS_PER_WORKGROUP];
    // end
    // for i < 8
    total += sum$i;
    // end
  }
  for (; at < PARTIALS; at += ROWS_PER_WORKGROUP) {
    total += partial[at];
  }
  return total;
}

// A product and the next one.
fn two_products_of(product: u32) -> vec2f {
  var totals = vec2f();
  var at = product;
  for (; at + 7u * ROWS_PER_WORKGROUP < PARTIALS; at += 8u * ROWS_PER_WORKGROUP) {
    // for i < 8
    let sums$i = vec2f(partial[at + $iu * ROWS_PER_WORKGROUP], partial[at + $iu * ROWS_PER_WORKGROUP + 1u]);
    // end
    // for i < 8
    totals += sums$i;
    // end
  }
  for (; at < PARTIALS; at += ROWS_PER_WORKGROUP) {
    totals += vec2f(partial[at], partial[at + 1u]);
  }
  return totals;
}
