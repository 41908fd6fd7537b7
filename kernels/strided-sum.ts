import source from "./lib/strided-sum.wgsl";
import { unroll } from "./unroll.ts";

/** `lib/strided-sum.wgsl`, with the terms that an invocation has in flight in registers. */
export const stridedSum = unroll(source, { AHEAD: 6 });
