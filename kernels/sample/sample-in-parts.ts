import { type Dispatch, dispatch, Kernel, type KernelHost } from "../kernel.ts";
import best from "../lib/best.wgsl";
import order from "../lib/order.wgsl";
import publish from "../lib/publish.wgsl";
import run from "../lib/run.wgsl";
import sampledRow from "../lib/sampled-row.wgsl";
import sampling from "../lib/sampling.wgsl";
import scan from "../lib/scan.wgsl";
import sealed from "../lib/sealed.wgsl";
import temperature from "../lib/temperature.wgsl";
import threefry from "../lib/threefry.wgsl";
import { stridedSum } from "../strided-sum.ts";
import { vocabularyParts } from "../vocabulary-parts.ts";
import type { SampleBuffers, SampleWorkspace } from "./sample-buffers.ts";
import draw from "./sample-draw.wgsl";
import masses from "./sample-masses.wgsl";
import scores from "./sample-scores.wgsl";
import sum from "./sample-sum.wgsl";

const kernels = {
  scores: new Kernel("sample-scores", run, order, best, sealed, sampling, scores),
  sum: new Kernel(
    "sample-sum",
    run,
    order,
    best,
    sealed,
    sampling,
    temperature,
    publish,
    sampledRow,
    stridedSum,
    sum,
  ),
  masses: new Kernel("sample-masses", order, sealed, sampling, sampledRow, masses),
  draw: new Kernel("sample-draw", run, order, threefry, scan, sealed, sampling, publish, sampledRow, draw),
} as const;

/** `sample` by many workgroups a row: the same tokens. Of greedy rows two kernels are enough. */
export function sampleInParts(
  host: KernelHost,
  vocabulary: number,
  layers: number,
  buffers: SampleBuffers & { readonly workspace: SampleWorkspace },
  greedy: boolean,
): readonly Dispatch[] {
  const { part, parts } = vocabularyParts(vocabulary);
  const { run, schedule, sampling, logits, counts, metrics, tokens, results, workspace } = buffers;
  const { scores, masses, bins, sampled } = workspace;
  const tokensOf = { VOCAB: vocabulary, PART: part };
  const first = [
    dispatch(
      host,
      kernels.scores,
      tokensOf,
      [run, sampling, logits, counts, scores, workspace.parts],
      ({ rows }) => [parts, rows],
    ),
    dispatch(
      host,
      kernels.sum,
      { VOCAB: vocabulary, LAYERS: layers, PARTS: parts },
      [run, schedule, sampling, metrics, workspace.parts, scores, sampled, tokens, results],
      ({ rows }) => [rows, 1],
    ),
  ];
  if (greedy) return first;
  return [
    ...first,
    dispatch(host, kernels.masses, tokensOf, [scores, sampled, masses, bins], ({ rows }) => [parts, rows]),
    dispatch(
      host,
      kernels.draw,
      { ...tokensOf, PARTS: parts },
      [run, schedule, sampling, scores, masses, bins, sampled, tokens, results],
      ({ rows }) => [rows, 1],
    ),
  ];
}
