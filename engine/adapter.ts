import * as v from "valibot";
import { ResonantError } from "../common/errors.ts";
import type { WeightFormat } from "../kernels/matrix.ts";
import { decayTable } from "../kernels/memory-scan/memory-scan.ts";
import type { AdapterCheckpoint } from "../weights/adapters.ts";
import type { TensorFile } from "../weights/tensor-file.ts";
import type { BlockConstants, BlockShape } from "./config.ts";
import type { Gpu } from "./device/gpu.ts";
import type { Fingerprint } from "./fingerprint.ts";
import { logistic } from "./phase.ts";
import { countParameters, expectShapes, renamedTensors, type Tensors } from "./tensors.ts";
import {
  type Blocks,
  blockUniform,
  concat,
  interleaveHalves,
  latticeBuffer,
  transpose,
  Uploader,
} from "./weights.ts";

const number = (fallback: number) => v.optional(v.pipe(v.number(), v.finite()), fallback);

/** The part of a reference checkpoint's `model_config` that an adapter depends on (SPEC §1). */
const adapterConfig = v.object({
  adapter_placement: v.optional(v.picklist(["embedding", "layers"]), "embedding"),
  attention: v.optional(v.picklist(["on", "bypass"]), "on"),
  omega: number(6),
  phi: number(0),
  pvm_alpha: number(0.12),
  pvm_beta: number(0.88),
  stillness_warm: number(0),
  block_warm_delta: number(0),
  block_ramp: number(300),
  phase_ramp: number(300),
  phase_delta: number(0),
});

/** Keys that only training uses; their effect is already in the tensors. */
const TRAINING = new Set(["alpha_base", "gamma_base", "use_glu", "learnable_omega", "use_pvm", "use_plm"]);

/** The ω of the drive is trained within these bounds and clamped to them. */
const LEARNABLE_OMEGA = [5.6, 6.4] as const;

/**
 * Reads one reference adapter (a PyTorch `AFRB` module) as a model of one block.
 * @param index number of the adapter in its chain, from 1; warm-up depends on it
 * @param tensors the module's state dict, with names within the module
 * @param layer index of its state among the states of the chain
 * @throws ResonantError `unsupported` for a Conv1d mixer or lattice tensors, `invalid_file` naming the tensor or field
 */
export async function loadAdapter(
  gpu: Gpu,
  tensors: Tensors,
  modelConfig: unknown,
  index: number,
  format: WeightFormat = "f32",
  layer = 0,
): Promise<Blocks> {
  refuseUnsupported(tensors);
  const size = tensors.shapes.get("norm1.weight")?.[0] ?? 0;
  const pvm = tensors.shapes.has("pvm.gate");
  const learnable = tensors.shapes.has("phase_embed.omega_param");
  const omegaName = learnable ? "phase_embed.omega_param" : "phase_embed.omega_const";
  const expected = new Map<string, readonly number[]>([
    ["alpha", []],
    ["phi_base", []],
    ["gamma_raw", []],
    ["global_step", []],
    ["norm1.weight", [size]],
    ["norm1.bias", [size]],
    ["norm2.weight", [size]],
    ["norm2.bias", [size]],
    ["mixer.0.weight", [2 * size, size]],
    ["mixer.0.bias", [2 * size]],
    [omegaName, []],
    ["phase_embed.proj.weight", [size, 2]],
    ["phase_embed.proj.bias", [size]],
  ]);
  if (pvm) expected.set("pvm.gate", []).set("pvm.input_scale", []);
  expectShapes(tensors, expected, (name) => UNUSED.test(name));

  const config = parseAdapterConfig(modelConfig, tensors.name);
  const from = new Uploader(gpu, format, tensors);
  const step = await from.scalar("global_step");
  const own = {
    alpha: await from.scalar("alpha"),
    gamma: logistic(await from.scalar("gamma_raw")),
    phiBase: await from.scalar("phi_base"),
    omega: clampIf(learnable, await from.scalar(omegaName)),
    step,
    gain: pvm ? await from.scalar("pvm.input_scale") : undefined,
    gate: pvm ? await from.scalar("pvm.gate") : 0,
  };
  const constants = adapterConstants(config, index, own);
  const shape: BlockShape = { size, taps: 0, pvm, lattice: undefined, gated: false, inner: 0 };
  const pairs = Math.ceil(size / 2);
  const decay = { alpha: constants.pvm?.alpha ?? 0, beta: config.pvm_beta, lambda: 0, omega: 0 };
  const block = {
    constants,
    block: blockUniform(gpu, layer, constants),
    norm: await from.vectors("norm1.weight", "norm1.bias"),
    conv: from.upload("conv", new Float32Array(size)),
    mixer: {
      weight: await from.matrix(size, [{ name: "mixer.0.weight", rows: 2 * size, gated: true }]),
      bias: from.upload("mixer.0.bias", interleaveHalves(await from.read("mixer.0.bias"))),
    },
    decay: from.upload(
      "decay",
      decayTable(Array.from({ length: pairs }, () => decay)) as Float32Array<ArrayBuffer>,
    ),
    memory: {
      // A placeholder that no product reads, since the gates have no matrix and there is no lattice.
      weight: {
        buffer: gpu.storage("no memory weight", 16),
        rows: size,
        columns: size,
        format,
        layout: gpu.weightLayout,
      },
      bias: from.upload("pvm.gate", new Float32Array(size).fill(own.gate)),
    },
    combine: from.upload(
      "combine",
      concat([
        await from.read("norm2.weight"),
        await from.read("norm2.bias"),
        transpose(await from.read("phase_embed.proj.weight"), size, 2),
        await from.read("phase_embed.proj.bias"),
      ]),
    ),
    mlp: undefined,
  };
  await gpu.settle();
  return { shape, blocks: [block], lattice: latticeBuffer(gpu, shape) };
}

/** The `model_config` settings of a checkpoint for the whole chain, and its unused keys. */
export interface AdapterSettings {
  readonly placement: "embedding" | "layers";
  readonly attention: "on" | "bypass";
  readonly unknown: readonly string[];
}

/** @throws ResonantError `invalid_file` naming the key at fault */
export function adapterSettings(
  modelConfig: Readonly<Record<string, unknown>>,
  name: string,
): AdapterSettings {
  const { adapter_placement: placement, attention } = parseAdapterConfig(modelConfig, name);
  const unknown = Object.keys(modelConfig).filter(
    (key) => !(key in adapterConfig.entries) && !TRAINING.has(key),
  );
  return { placement, attention, unknown };
}

/** A chain of adapters as the blocks of one model. */
export interface Adapters {
  readonly blocks: Blocks;
  readonly learnableOmega: boolean;
  readonly parameters: number;
}

/**
 * Reads all adapters of a checkpoint, for a base model of width `size` with so many layers. Without a file there are no blocks.
 * @throws ResonantError `invalid_file` naming the adapter that does not fit; errors of {@link loadAdapter}
 */
export async function loadAdapters(
  gpu: Gpu,
  file: TensorFile | undefined,
  checkpoint: AdapterCheckpoint | undefined,
  base: { readonly size: number; readonly layers: number },
  placement: "embedding" | "layers",
  format: WeightFormat,
  fingerprint: Fingerprint,
): Promise<Adapters> {
  const none: BlockShape = {
    size: base.size,
    taps: 0,
    pvm: false,
    lattice: undefined,
    gated: false,
    inner: 0,
  };
  if (!file || !checkpoint) {
    const blocks = { shape: none, blocks: [], lattice: latticeBuffer(gpu, none) };
    return { blocks, learnableOmega: false, parameters: 0 };
  }
  const count = checkpoint.adapters.length;
  const refuse = (index: number, message: string): never => {
    throw new ResonantError("invalid_file", message, { where: `${file.name}: adapter ${index}` });
  };
  if (placement === "layers" && count > base.layers) {
    refuse(base.layers, `there are ${count} adapters, but only ${base.layers} layers for them to follow`);
  }
  const chain: Blocks[] = [];
  let parameters = 0;
  for (const [i, names] of checkpoint.adapters.entries()) {
    const tensors = renamedTensors(file, names, fingerprint);
    const size = tensors.shapes.get("norm1.weight")?.[0];
    if (size !== undefined && size !== base.size)
      refuse(i, `it is ${size} wide, the base model ${base.size}`);
    const blocks = await loadAdapter(gpu, tensors, checkpoint.modelConfig, i + 1, format, i);
    if (blocks.shape.pvm !== (chain[0] ?? blocks).shape.pvm) {
      refuse(i, "some adapters have a vector memory, and some have none");
    }
    parameters += countParameters(new Map([...tensors.shapes].filter(([name]) => !UNUSED.test(name))));
    chain.push(blocks);
  }
  const [first] = chain;
  return {
    blocks: { ...first!, blocks: chain.flatMap(({ blocks }) => blocks) },
    learnableOmega: [...(checkpoint.adapters[0]?.keys() ?? [])].includes("phase_embed.omega_param"),
    parameters,
  };
}

/** Training buffers (T2, PCM). They are ignored, because a request starts with an empty memory. */
const UNUSED = /^(pvm\.(mem_state|phase_buffer\.|t2)|t2|pcm)/;

function refuseUnsupported(tensors: Tensors): void {
  const names = [...tensors.shapes.keys()];
  const refuse = (name: string, message: string): never => {
    throw new ResonantError("unsupported", message, { where: `${tensors.name}: ${name}` });
  };
  for (const name of names) {
    if (name.includes("phase_lattice"))
      refuse(name, "phase_lattice tensors of the reference were never published");
  }
  if (tensors.shapes.has("mixer.weight")) {
    refuse("mixer.weight", "a Conv1d mixer (kernel 3, centred) reads one token ahead and cannot stream");
  }
}

function parseAdapterConfig(value: unknown, name: string): v.InferOutput<typeof adapterConfig> {
  const parsed = v.safeParse(adapterConfig, value ?? {});
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  throw new ResonantError("invalid_file", issue.message, {
    where: `${name}: model_config.${v.getDotPath(issue) ?? ""}`,
  });
}

const clampIf = (clamped: boolean, omega: number): number =>
  clamped ? Math.min(LEARNABLE_OMEGA[1], Math.max(LEARNABLE_OMEGA[0], omega)) : omega;

/** Ramp and effective phase of the `index`-th adapter at its training step. */
function adapterConstants(
  config: v.InferOutput<typeof adapterConfig>,
  index: number,
  own: {
    alpha: number;
    gamma: number;
    phiBase: number;
    omega: number;
    step: number;
    /** `input_scale` of the memory; undefined if there is no memory. */
    gain: number | undefined;
    /** The gate of the memory, before σ. */
    gate: number;
  },
): BlockConstants {
  const since = own.step - (config.stillness_warm + (index - 1) * config.block_warm_delta);
  const warm = since >= 0;
  return {
    alpha: own.alpha,
    gamma: own.gamma,
    ramp: warm ? Math.min(1, since / Math.max(1, config.block_ramp)) : 0,
    driveOmega: own.omega,
    drivePhi: own.phiBase + (warm ? config.phase_delta * (1 - Math.exp(-since / config.phase_ramp)) : 0),
    pvmOmega: config.omega,
    pvmPhi: config.phi,
    pvm:
      own.gain === undefined
        ? null
        : { alpha: config.pvm_alpha * own.gain, beta: config.pvm_beta, gate: logistic(own.gate) },
    step: own.step,
  };
}
