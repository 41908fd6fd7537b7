import { expect, it } from "vitest";
import type { KernelHost } from "../kernels/kernel.ts";
import type { ProductWay } from "../kernels/linear/linear.ts";
import { firstDifference, gpuTilesHost, randomFloats, sharedLoadHost, testGpu } from "../test/gpu.ts";
import { memoryTensors, tinyConfig } from "../test/models.ts";
import { parseConfig } from "./config.ts";
import { nativeNetwork } from "./network.ts";
import { Activations } from "./runner/activations.ts";
import { StatePool, stateShape } from "./state/state-pool.ts";
import { tensorsUnder } from "./tensors.ts";
import { loadWeights, nativeTensors } from "./weights.ts";

const gpu = await testGpu();
const STEPS = 3;

async function networkOf(layers: number) {
  const phases = Array.from({ length: layers }, (_, i) => 6 + i / 10);
  const config = parseConfig(
    {
      ...tinyConfig,
      hidden_size: 40,
      intermediate_size: 33,
      vocab_size: 50,
      num_layers: layers,
      phase: { alpha: 0.1, omega: phases, phi: phases },
      pvm: { omega: phases, phi: phases },
    },
    "config.json",
  );
  const tensors = memoryTensors(nativeTensors(config), (name, shape) => {
    const values = randomFloats(
      name.length,
      shape.reduce((product, size) => product * size, 1),
      -0.5,
      0.5,
    );
    return /plm\.|pvm\.(alpha|beta)$/.test(name) ? values.map(Math.abs) : values;
  });
  return nativeNetwork(config, await loadWeights(gpu, config, tensorsUnder(tensors), "f32"));
}

/** Feeds two streams some tokens, a step at a time: what is left in the buffers, and the number of dispatches of a step. */
async function steps(network: Awaited<ReturnType<typeof networkOf>>, host: KernelHost, way: ProductWay) {
  const { weights } = network;
  const layers = weights.blocks.length;
  const shape = stateShape(weights.shape, layers);
  const pool = new StatePool(gpu, shape, 50, 3);
  const size = { rows: 2, steps: 1, vocabulary: 50, logitRows: 2 };
  const a = new Activations(gpu, weights.shape, layers, size);
  const on = { host, a, shape, state: pool.state, counts: pool.counts, measure: true };
  const list = network.passes(gpu, 3).decodeStep(on, way);
  for (let step = 0; step < STEPS; step++) {
    const places = [2, 0].map((slot) => ({ slot, position: step }));
    const run = a.prepare(weights.blocks, places, 1);
    a.setTokens([7 * step, 49 - step]);
    gpu.submit((encoder) => gpu.record(encoder, list, run));
  }
  const read = (buffer: GPUBuffer) => gpu.readFloats(buffer);
  return {
    dispatches: list.length,
    values: await Promise.all([a.logits, a.h, a.metrics, pool.state].map(read)),
  };
}

it.each([2, 3])(
  "a decode step of %i blocks takes four dispatches a block on a GPU, with the same bits",
  async (layers) => {
    const network = await networkOf(layers);
    const few = await steps(network, gpuTilesHost(gpu), "row");
    // embed and head, and a measurement in each block.
    expect(few.dispatches).toBe(2 + layers * (4 + 1));
    const software = await steps(network, sharedLoadHost(gpu, 0), "row");
    expect(software.dispatches).toBe(2 + layers * (5 + 1));
    few.values.forEach((values, i) => {
      expect(values.some((value) => value !== 0)).toBe(true);
      expect(firstDifference(values, software.values[i]!)).toBe(-1);
    });
  },
);
