import reduce from "./lib/reduce.wgsl";
import source from "./lib/strided-sum.wgsl";
import { unroll } from "./unroll.ts";

/** `lib/strided-sum.wgsl` and the sum of a workgroup that it ends with, and with the terms that an invocation has in flight in registers. */
export const stridedSum = reduce + unroll(source, { AHEAD: 6 });
