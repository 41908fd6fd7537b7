import { type Command, Option, Command as Subcommand } from "commander";
import { modelInfo } from "../../api/responses.ts";
import type { ModelMemory } from "../../engine/model.ts";
import type { BaseModel } from "../../engine/network.ts";
import { MOST_STREAMS } from "../../kernels/run.ts";
import { alignmentOption, jsonOption, type ModelFlags, numberIn, openModel, withModel } from "../options.ts";
import { print, printJson, table } from "../terminal.ts";

/** Labels for the uses of a model's GPU memory. */
const purposes: Readonly<Record<keyof ModelMemory, string>> = {
  weights: "weights",
  states: "states of streams",
  snapshots: "snapshots of states",
  prefixes: "prefix cache",
  attention: "attention's cache",
  steps: "work buffers of a step",
  prompts: "work buffers of a prompt",
  staging: "results for reading back",
  alignment: "alignment",
};

const places = { embedding: "before the first layer", layers: "one after each of the last layers" } as const;

const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(3);

const shown = {
  tests: "as the tests show on software adapters",
  check: "as a check on this device found",
  nothing: "not checked on this device",
} as const;

const batches = ({ shown_by, differing }: ReturnType<typeof modelInfo>["bit_agreement"]): string =>
  differing.length === 0
    ? `a stream's bits do not depend on its batch, ${shown[shown_by]}`
    : `a row at a time, because tiles give other bits on this device: ${differing.join(", ")}`;

const heads = ({ heads, kvHeads }: BaseModel): string =>
  heads === kvHeads ? `${heads} heads` : `${heads} heads for ${kvHeads} of keys`;

/** `resonant info`. */
export function infoCommand(): Command {
  return withModel(new Subcommand("info").description("Describe a model."))
    .addOption(alignmentOption())
    .addOption(
      new Option(
        "--slots <n>",
        "number of streams that can be open at once, which determines most of the memory",
      )
        .argParser(numberIn(1, MOST_STREAMS, true))
        .default(1),
    )
    .addOption(jsonOption())
    .action(async (flags: ModelFlags & { json?: boolean; slots: number }) => {
      const errors: { readonly tensor: string; readonly error: number }[] = [];
      const onPacked = (tensor: string, error: number): void => {
        errors.push({ tensor, error });
      };
      const model = await openModel(flags, { slots: flags.slots, onPacked });
      // Allocate now what is otherwise allocated on first use, so that the report includes it.
      model.reserve();
      const info = modelInfo(model);
      const blocks = model.facts.blocks.map((c) => ({
        gamma: c.gamma,
        alpha: c.alpha,
        drive_omega: c.driveOmega,
        drive_phi: c.drivePhi,
        pvm_omega: c.pvmOmega,
        pvm_phi: c.pvmPhi,
        pvm_alpha: c.pvm?.alpha ?? null,
        pvm_beta: c.pvm?.beta ?? null,
        pvm_gate: c.pvm?.gate ?? null,
      }));
      const { memory } = model;
      const perStream = model.memoryPerStream;
      if (flags.json) {
        const budget = { ...memory, slots: flags.slots, per_stream: perStream };
        return printJson({ ...info, memory: budget, blocks, weight_errors: errors });
      }
      const { base, family, cacheBytes, size, taps, inner, lattice } = model.facts;
      await print(
        table([
          ["model", info.model_name],
          ["parameters", info.parameters.toLocaleString("en")],
          ...(base
            ? [
                [
                  "base",
                  `${family}, ${base.layers} layers of width ${size}, ${heads(base)}, MLP ${base.inner}`,
                ],
                ["adapters", `${info.num_afrb_layers}, ${places[base.placement]}`],
                ["attention", base.attention],
              ]
            : [
                ["blocks", `${info.num_afrb_layers} of width ${size}, MLP ${inner}, conv ${taps}`],
                ["lattice", lattice ? `${lattice.components} of ${lattice.grid.join(" × ")}` : "none"],
              ]),
          ["vocabulary", String(info.vocab_size)],
          ["context", info.max_context_length === null ? "unlimited" : `${info.max_context_length} tokens`],
          ["state", `${(info.state_bytes / 1024).toFixed(1)} kB per stream`],
          ...(cacheBytes > 0 ? [["cache", `${(cacheBytes / 1024).toFixed(1)} kB per token`]] : []),
          ["weights", info.weight_format],
          ...(info.alignment
            ? [
                [
                  "alignment",
                  `of ${info.alignment.tokens} tokens, relative residual ${info.alignment.residual.toFixed(4)}`,
                ],
              ]
            : []),
          ["dispatches per token", String(info.dispatches_per_token)],
          ["device", `${info.device}, ${info.adapter}`],
          ["batches", batches(info.bit_agreement)],
          ["fingerprint", info.fingerprint.slice(0, 16)],
        ]),
      );
      await print("\n");
      const rows = (Object.keys(purposes) as (keyof ModelMemory)[])
        .filter((purpose) => memory[purpose] > 0)
        .map((purpose) => [purposes[purpose], megabytes(memory[purpose])]);
      await print(
        table([
          ["memory on the GPU", "MB"],
          ...rows,
          ["total", megabytes(info.gpu_bytes)],
          [flags.slots === 1 ? "each stream" : `each of ${flags.slots} streams`, megabytes(perStream)],
        ]),
      );
      await print("\n");
      await print(
        table([
          ["block", "γ", "α", "drive ω", "drive φ", "PVM ω", "PVM φ", "PVM α", "PVM β", "gate"],
          ...blocks.map((block, i) => [
            String(i),
            ...Object.values(block).map((value) => value?.toFixed(4) ?? "–"),
          ]),
        ]),
      );
      if (errors.length === 0) return;
      await print("\n");
      const lost = errors.map(({ tensor, error }) => [tensor, error.toExponential(2)]);
      await print(table([[`‖W − ${flags.format}(W)‖ / ‖W‖`, ""], ...lost]));
    });
}
