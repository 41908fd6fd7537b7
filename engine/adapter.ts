import * as v from "valibot";
import type { WeightFormat } from "../kernels/matrix.ts";
import { decayTable } from "../kernels/memory-scan/memory-scan.ts";
import type { BlockConstants, BlockShape } from "./config.ts";
import { ResonantError } from "./errors.ts";
import type { Gpu } from "./gpu.ts";
import { logistic } from "./phase.ts";
import { expectShapes, type Tensors } from "./tensors.ts";
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

/** What of a reference checkpoint's `model_config` one adapter depends on (SPEC §1). */
const adapterConfig = v.object({
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

/** The drive's ω is trained within these bounds, and clamped to them. */
const LEARNABLE_OMEGA = [5.6, 6.4] as const;

/**
 * Reads one reference adapter (a PyTorch `AFRB` module) as a model of one block.
 * @param index which adapter of its chain, from 1; warm-up depends on it
 * @param tensors the module's state dict, names local to it
 * @throws ResonantError `unsupported` for a Conv1d mixer or lattice tensors, `invalid_file` naming the tensor or field
 */
export async function loadAdapter(
  gpu: Gpu,
  tensors: Tensors,
  modelConfig: unknown,
  index: number,
  format: WeightFormat = "f32",
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
  // A request starts from an empty memory and has no use for training's buffers (T2, PCM).
  expectShapes(tensors, expected, (name) => /^(pvm\.(mem_state|phase_buffer\.|t2)|t2|pcm)/.test(name));

  const config = parseAdapterConfig(modelConfig, tensors.name);
  const from = new Uploader(gpu, format, tensors);
  const step = await from.scalar("global_step");
  const constants = adapterConstants(config, index, {
    alpha: await from.scalar("alpha"),
    gamma: logistic(await from.scalar("gamma_raw")),
    phiBase: await from.scalar("phi_base"),
    omega: clampIf(learnable, await from.scalar(omegaName)),
    step,
  });
  const shape: BlockShape = { size, taps: 0, pvm, lattice: undefined, gated: false, inner: 0 };
  const pairs = Math.ceil(size / 2);
  const alpha = config.pvm_alpha * (pvm ? await from.scalar("pvm.input_scale") : 0);
  const decay = { alpha, beta: config.pvm_beta, lambda: 0, omega: 0 };
  const gate = new Float32Array(size).fill(pvm ? await from.scalar("pvm.gate") : 0);
  const block = {
    constants,
    block: blockUniform(gpu, 0, constants),
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
      // No product is taken of it: the gates have no matrix, and there is no lattice.
      weight: { buffer: gpu.storage("no memory weight", 16), rows: size, columns: size, format },
      bias: from.upload("pvm.gate", gate),
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
  own: { alpha: number; gamma: number; phiBase: number; omega: number; step: number },
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
    step: own.step,
  };
}
