// Each thread reads all queries and weights.
fn queries_at(i: u32, invocation: Invocation) -> Queries {
  let at = i * QUERIES;
  return Queries(
    q_tile[at],
    q_tile[at + 1u],
    q_tile[at + 2u],
    q_tile[at + 3u],
    q_tile[at + 4u],
    q_tile[at + 5u],
    q_tile[at + 6u],
    q_tile[at + 7u],
  );
}

fn weights_at(key: u32, invocation: Invocation) -> Weights {
  return Weights(weight_of(key), weight_of(key + 1u), weight_of(key + 2u), weight_of(key + 3u));
}
