import { type Command, Command as Subcommand } from "commander";
import type { BaseModel } from "../../engine/network.ts";
import { alignmentOption, jsonOption, type ModelFlags, openModel, withModel } from "../options.ts";
import { modelInfo } from "../responses.ts";
import { print, printJson, table } from "../terminal.ts";

const places = { embedding: "before the first layer", layers: "one after each of the last layers" } as const;

const heads = ({ heads, kvHeads }: BaseModel): string =>
  heads === kvHeads ? `${heads} heads` : `${heads} heads for ${kvHeads} of keys`;

/** `resonant info`. */
export function infoCommand(): Command {
  return withModel(new Subcommand("info").description("Describe a model."))
    .addOption(alignmentOption())
    .addOption(jsonOption())
    .action(async (flags: ModelFlags & { json?: boolean }) => {
      const errors: { readonly tensor: string; readonly error: number }[] = [];
      const onPacked = (tensor: string, error: number): void => {
        errors.push({ tensor, error });
      };
      const model = await openModel(flags, { slots: 1, onPacked });
      const info = modelInfo(model);
      const blocks = model.weights.blocks.map(({ constants: c }) => ({
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
      if (flags.json) return printJson({ ...info, blocks, weight_errors: errors });
      const { base, family } = model.config;
      const { cacheBytes } = model.runner.network;
      const { size, taps, inner, lattice } = model.weights.shape;
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
          ["state", `${(info.state_bytes / 1024).toFixed(1)} kB a stream`],
          ...(cacheBytes > 0 ? [["cache", `${(cacheBytes / 1024).toFixed(1)} kB a token`]] : []),
          ["weights", `${info.weight_format}, ${(info.gpu_bytes / 2 ** 20).toFixed(1)} MB on the GPU in all`],
          ...(info.alignment
            ? [
                [
                  "alignment",
                  `of ${info.alignment.tokens} tokens, relative residual ${info.alignment.residual.toFixed(4)}`,
                ],
              ]
            : []),
          ["a token takes", `${info.dispatches_per_token} dispatches`],
          ["device", `${info.device}, ${info.adapter}`],
          ["fingerprint", info.fingerprint.slice(0, 16)],
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
      const rows = errors.map(({ tensor, error }) => [tensor, error.toExponential(2)]);
      await print(table([[`‖W − ${flags.format}(W)‖ / ‖W‖`, ""], ...rows]));
    });
}
