// A row's token, or NOT_FINITE, becomes its result and is fed next. The kernel binds `run`, `tokens` and `results`.
fn publish(row: u32, step: u32, token: u32) {
  results[step * run.rows + row] = token;
  tokens[row] = select(token, 0u, token == NOT_FINITE);
}
