import { batchCase } from "./batch.ts";
import { ceilingCases } from "./ceilings/ceilings.ts";
import { gpuCases } from "./gpu/cases.ts";
import type { BenchCase } from "./harness/case.ts";
import { attentionCases } from "./kernels/attention.ts";
import { blockCases } from "./kernels/blocks.ts";
import { packingCases } from "./kernels/packing.ts";
import { productCases } from "./kernels/products.ts";
import { retrievalKernelCases } from "./kernels/retrieval.ts";
import { rowCases } from "./kernels/rows.ts";
import { vocabularyCases } from "./kernels/vocabulary.ts";
import { modelCases } from "./models.ts";
import { nativeCases } from "./native.ts";
import { retrievalCase } from "./retrieve.ts";

/** Returns every case in the order of measurement: first the ceilings, with which the others are compared. */
export const benchCases = (quick: boolean): readonly BenchCase[] => [
  ...ceilingCases,
  ...gpuCases,
  ...productCases,
  ...blockCases,
  ...rowCases,
  ...attentionCases,
  ...vocabularyCases,
  ...retrievalKernelCases,
  ...packingCases,
  ...nativeCases,
  batchCase,
  retrievalCase,
  ...modelCases(quick),
];
