/**
 * Whether kernels that take a row at a time and kernels that take many give a row the same bits on a device. Their texts sum
 * in one order, but a compiler may round in another way. Where they differ, decode steps take a row at a time whatever the
 * batch, and prompts are multiplied in tiles of one size whatever their length: a stream's bits still do not depend on what
 * shares its pass.
 */
export interface Agreement {
  /** What shows it: the tests of this project, which run on software adapters; a check on this adapter; nothing yet. */
  readonly shownBy: "tests" | "check" | "nothing";
  /** What was found to differ, such as `products in f16`. */
  readonly differing: readonly string[];
}
