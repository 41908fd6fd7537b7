// At least SHARED_LOAD_LANES lanes of a subgroup each read a query and the weights of a key, and pass them to the others.
fn queries_at(i: u32, invocation: Invocation) -> Queries {
  let at = i * QUERIES + invocation.place % SHARED_LOAD_LANES;
  let own = q_tile[at];
  let rest = q_tile[at + QUERIES - SHARED_LOAD_LANES]; // the same, where eight lanes share
  return Queries(
    subgroupShuffle(own, 0u),
    subgroupShuffle(own, 1u),
    subgroupShuffle(own, 2u),
    subgroupShuffle(own, 3u),
    subgroupShuffle(rest, SHARED_LOAD_LANES - 4u),
    subgroupShuffle(rest, SHARED_LOAD_LANES - 3u),
    subgroupShuffle(rest, SHARED_LOAD_LANES - 2u),
    subgroupShuffle(rest, SHARED_LOAD_LANES - 1u),
  );
}

fn weights_at(key: u32, invocation: Invocation) -> Weights {
  let own = weight_of(key + invocation.place % 4u);
  return Weights(weight_from(own, 0u), weight_from(own, 1u), weight_from(own, 2u), weight_from(own, 3u));
}

fn weight_from(own: Eight, place: u32) -> Eight {
  return Eight(subgroupShuffle(own.low, place), subgroupShuffle(own.high, place));
}
