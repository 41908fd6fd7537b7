import type { Gpu } from "../../engine/device/gpu.ts";
import { decoderNetwork } from "../../engine/families/decoder.ts";
import type { Linear } from "../../engine/families/family.ts";
import { productShapes } from "../../engine/families/index.ts";
import { type DecoderWeights, decoderProducts } from "../../engine/families/load-decoder.ts";
import { Model } from "../../engine/model.ts";
import { defaultModelFolder, openModelFolder } from "../../engine/platform/node/files.ts";
import type { ProductShape } from "../../engine/product-shape.ts";
import { Runner } from "../../engine/runner/runner.ts";
import { latticeBuffer, type Weights } from "../../engine/weights.ts";
import { matrixBytes, type WeightFormat } from "../../kernels/matrix.ts";
import { type GeometryName, geometries } from "../random-model.ts";
import { SETTINGS } from "../settings.ts";
import { openRecordingGpu, type Recorded } from "./recording-device.ts";

/** What one decode step of a model dispatches, sampling as users do, and the matrices that it goes through. */
export interface StepOnPaper {
  readonly model: string;
  readonly format: WeightFormat;
  readonly products: readonly ProductShape[];
  readonly dispatches: readonly Recorded[];
}

/** A decode step of the default model, recorded from the engine itself. */
export async function nativeStep(format: WeightFormat): Promise<StepOnPaper> {
  const { gpu, dispatches } = await openRecordingGpu();
  const files = await openModelFolder(await defaultModelFolder());
  try {
    const { runner } = await Model.load(gpu, files, { format, slots: 1, prefixBytes: 0 });
    const products = productShapes(files.config, files.name);
    return { model: "default", format, products, dispatches: stepOf(runner, dispatches) };
  } finally {
    await files.close();
  }
}

/** A decode step of a base model without adapters. Its weights are buffers without contents. */
export async function decoderStep(geometry: GeometryName, format: WeightFormat): Promise<StepOnPaper> {
  const { gpu, dispatches } = await openRecordingGpu();
  const { family, config } = geometries[geometry];
  const c = family.parse(config, geometry);
  const products = decoderProducts(family, c);
  const linear = (name: string): Linear => {
    const found = products.find((of) => of.name === name);
    if (!found) throw new Error(`${geometry}: no product is called ${name}`);
    return { weight: matrixOf(gpu, found, format) };
  };
  const norm = { buffer: gpu.storage("norm", 8 * c.size), rms: family.rms, eps: c.eps };
  const decoder: DecoderWeights = {
    embed: linear("head").weight,
    norm,
    head: linear("head").weight,
    layers: Array.from({ length: c.layers }, (_, index) => ({
      index,
      norm1: norm,
      norm2: norm,
      qkv: linear("qkv"),
      qkvVectors: norm.buffer,
      out: linear("out"),
      up: linear("up"),
      down: linear("down"),
    })),
    parameters: 0,
  };
  const shape = { size: c.size, taps: 0, pvm: false, lattice: undefined, gated: false, inner: 0 };
  const { embed, head, parameters } = decoder;
  const lattice = latticeBuffer(gpu, shape);
  const weights: Weights = { shape, blocks: [], lattice, embed, norm, head, parameters };
  const network = decoderNetwork(family, c, decoder, weights, {
    placement: "embedding",
    attention: "on",
    adaptiveOmega: false,
  });
  const runner = new Runner(gpu, network, { slots: 1, prefixBytes: 0 });
  return { model: geometry, format, products, dispatches: stepOf(runner, dispatches) };
}

function stepOf(runner: Runner, dispatches: Recorded[]): Recorded[] {
  dispatches.length = 0;
  runner.batch([{ slot: 0, position: 100, settings: SETTINGS }], 1);
  return [...dispatches];
}

function matrixOf(gpu: Gpu, { name, rows, columns }: ProductShape, format: WeightFormat) {
  const layout = gpu.weightLayout;
  const buffer = gpu.storage(name, matrixBytes(rows, columns, format, layout));
  return { buffer, rows, columns, format, layout };
}
