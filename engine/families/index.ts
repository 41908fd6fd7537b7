import { ResonantError } from "../../common/errors.ts";
import type { WeightFormat } from "../../kernels/matrix.ts";
import { type AdapterCheckpoint, readAdapters } from "../../weights/adapters.ts";
import type { TensorFile } from "../../weights/tensor-file.ts";
import { adapterSettings, loadAdapters } from "../adapter.ts";
import { parseConfig } from "../config.ts";
import type { Gpu } from "../device/gpu.ts";
import type { Fingerprint } from "../fingerprint.ts";
import { type Network, nativeNetwork } from "../network.ts";
import type { ProductShape } from "../product-shape.ts";
import { tensorsUnder } from "../tensors.ts";
import { type LoadCallbacks, loadWeights, nativeProducts } from "../weights.ts";
import { type AttentionMode, decoderNetwork, type Placement } from "./decoder.ts";
import { checkHeads } from "./decoder-config.ts";
import type { Family } from "./family.ts";
import { gptNeox } from "./gpt-neox.ts";
import { llama } from "./llama.ts";
import { decoderProducts, loadDecoder } from "./load-decoder.ts";

export type { AttentionMode, Placement } from "./decoder.ts";

const families: Readonly<Record<string, Family>> = { gpt_neox: gptNeox, llama };

/** How adapters and attention are used. What is left out comes from the checkpoint, else from the defaults. */
export interface BaseOptions {
  readonly placement?: Placement | undefined;
  readonly attention?: AttentionMode | undefined;
}

export interface NetworkFiles {
  /** The name shown in messages. */
  readonly name: string;
  /** `config.json`, parsed. */
  readonly config: unknown;
  readonly tensors: TensorFile;
  /** A checkpoint of adapters for a base model. */
  readonly adapters?: TensorFile | undefined;
}

/** A network, and what identifies it besides its tensors. */
export interface LoadedNetwork {
  readonly network: Network;
  readonly identity: unknown;
  /** Which parts of the files were not used, for people to read. */
  readonly remarks: readonly string[];
}

/**
 * Loads a model of the family that its `config.json` names.
 * @throws ResonantError `unsupported` for a family this engine does not know; errors of the family
 */
export async function loadNetwork(
  gpu: Gpu,
  files: NetworkFiles,
  format: WeightFormat,
  options: BaseOptions & LoadCallbacks,
  fingerprint: Fingerprint,
): Promise<LoadedNetwork> {
  const where = `${files.name}: config.json`;
  const family = families[modelType(files.config) ?? ""];
  const tensors = tensorsUnder(files.tensors, "", fingerprint);
  if (!family) {
    const config = parseConfig(files.config, where);
    if (files.adapters) {
      throw new ResonantError("invalid_argument", "adapters are for base models, and this is a native one", {
        where: files.adapters.name,
      });
    }
    const weights = await loadWeights(gpu, config, tensors, format, options);
    return { network: nativeNetwork(config, weights), identity: config, remarks: [] };
  }
  const config = family.parse(files.config, where);
  checkHeads(config, where);
  const checkpoint: AdapterCheckpoint | undefined = files.adapters && readAdapters(files.adapters);
  const settings = adapterSettings(checkpoint?.modelConfig ?? {}, files.adapters?.name ?? where);
  const placement = options.placement ?? settings.placement;
  const attention = options.attention ?? settings.attention;
  const adapters = await loadAdapters(
    gpu,
    files.adapters,
    checkpoint,
    config,
    placement,
    format,
    fingerprint,
  );
  const decoder = await loadDecoder(gpu, family, config, tensors, format, options);
  const { embed, norm, head } = decoder;
  const parameters = decoder.parameters + adapters.parameters;
  const weights = { ...adapters.blocks, embed, norm, head, parameters };
  return {
    network: decoderNetwork(family, config, decoder, weights, {
      placement,
      attention,
      adaptiveOmega: adapters.learnableOmega,
    }),
    identity: { config: files.config, adapters: checkpoint?.modelConfig ?? null, placement, attention },
    remarks: settings.unknown.map(
      (key) => `${files.adapters?.name}: model_config.${key} is not known, and not used`,
    ),
  };
}

/**
 * The matrices that a token of a model goes through, from its `config.json` alone.
 * @throws ResonantError as {@link loadNetwork} does for the same configuration
 */
export function productShapes(config: unknown, name: string): readonly ProductShape[] {
  const where = `${name}: config.json`;
  const family = families[modelType(config) ?? ""];
  return family
    ? decoderProducts(family, family.parse(config, where))
    : nativeProducts(parseConfig(config, where));
}

function modelType(config: unknown): string | undefined {
  const type =
    typeof config === "object" && config !== null && "model_type" in config ? config.model_type : undefined;
  return typeof type === "string" ? type : undefined;
}
