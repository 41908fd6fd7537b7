import type { BenchCase } from "../harness/case.ts";
import { decodeProducts } from "./decode-products.ts";
import { firstDispatches } from "./first-dispatches.ts";
import { rowAndTiles } from "./row-and-tiles.ts";
import { unchecked } from "./unchecked.ts";

/** What is asked of a GPU first; see `gpu.mjs`. */
export const gpuCases: readonly BenchCase[] = [
  firstDispatches,
  ...decodeProducts("tinyllama-1.1b"),
  ...decodeProducts("tiny-llama"),
  rowAndTiles,
  unchecked,
];
