// Each thread computes whole slices; product_of adds them in order.
override PARTIALS = ROWS_PER_WORKGROUP * SLICES;

var<workgroup> partial: array<f32, PARTIALS>; // [ROWS_PER_WORKGROUP, SLICES]

fn multiply(group: u32, invocation: Invocation) {
  for (var task = invocation.lane; task < PARTIALS; task += 64u) {
    let product = task / SLICES;
    let slice = task % SLICES;
    var sum = 0.0;
    if (slice < slices_of(product)) {
      let at = slice_at(weight_row(group, product), slice, SLICES);
      let start = input_start(product) + slice * SLICE4;
      let scale = load_scale(at);
      for (var i = 0u; i < 4u; i++) {
        sum = add_eight(load_eight(at, i, scale), input4(start + 2u * i), input4(start + 2u * i + 1u), sum);
      }
    }
    partial[task] = sum;
  }
}

fn product_of(product: u32) -> f32 {
  var total = 0.0;
  for (var slice = 0u; slice < SLICES; slice++) {
    total += partial[product * SLICES + slice];
  }
  return total;
}
