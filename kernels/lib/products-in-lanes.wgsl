// Each thread computes whole products, 64 of them at a time. At least SHARED_LOAD_LANES lanes of a subgroup share the loads
// of their common input: each loads a part and passes it to the others. For devices where a load costs more than
// arithmetic, such as software adapters.
var<workgroup> whole: array<f32, ROWS_PER_WORKGROUP>;

fn multiply(group: u32, invocation: Invocation) {
  for (var first = 0u; first < ROWS_PER_WORKGROUP; first += 64u) {
    let row = weight_row(group, first + invocation.lane);
    let start = input_start(first);
    // There are always weights, so this adds 0. But a driver does not know that, and cannot unroll the loop: Mesa took 17 s to
    // unroll eight slices of f32, and the result ran slower.
    let slices = slices_of(first) + u32(arrayLength(&weight) == 0u);
    var total = 0.0;
    for (var slice = 0u; slice < slices; slice++) {
      let at = start + slice * SLICE4 + invocation.place % SHARED_LOAD_LANES;
      let own = input4(at);
      let rest = input4(at + SLICE4 - SHARED_LOAD_LANES); // the same, where eight lanes share a slice
      let weights = slice_at(row, slice, SLICES);
      let scale = load_scale(weights);
      var sum = 0.0;
      sum = add_eight(load_eight(weights, 0u, scale), subgroupShuffle(own, 0u), subgroupShuffle(own, 1u), sum);
      sum = add_eight(load_eight(weights, 1u, scale), subgroupShuffle(own, 2u), subgroupShuffle(own, 3u), sum);
      sum = add_eight(
        load_eight(weights, 2u, scale),
        subgroupShuffle(rest, SHARED_LOAD_LANES - 4u),
        subgroupShuffle(rest, SHARED_LOAD_LANES - 3u),
        sum,
      );
      sum = add_eight(
        load_eight(weights, 3u, scale),
        subgroupShuffle(rest, SHARED_LOAD_LANES - 2u),
        subgroupShuffle(rest, SHARED_LOAD_LANES - 1u),
        sum,
      );
      total += sum;
    }
    whole[first + invocation.lane] = total;
  }
}

fn product_of(product: u32) -> f32 {
  return whole[product];
}
