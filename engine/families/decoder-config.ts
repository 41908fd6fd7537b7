import * as v from "valibot";
import { ResonantError } from "../../common/errors.ts";
import type { Epilogue } from "../../kernels/linear/linear.ts";
import { checkHeadSize, type Rope } from "./rope.ts";

/** A transformer decoder's configuration, whatever its family. `D` = `size`. */
export interface DecoderConfig {
  readonly family: "gpt_neox" | "llama";
  readonly size: number;
  readonly layers: number;
  /** Rows of the embedding; a tokenizer may have fewer ids. */
  readonly vocabulary: number;
  /** The most positions that attention supports. */
  readonly positions: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Inner size of the MLP. */
  readonly inner: number;
  readonly rope: Rope;
  readonly eps: number;
  /** Whether attention and MLP both start from the layer's input. */
  readonly parallel: boolean;
  readonly activation: Epilogue;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  /** Whether the head is the embedding. */
  readonly tied: boolean;
  readonly bosId: number | null;
  readonly eosIds: readonly number[];
}

export const count = (least: number, most: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));

const tokenId = count(0, 2 ** 31);

/** The fields that the `config.json` of all families have. */
export const decoderFields = {
  hidden_size: count(2, 65536),
  num_hidden_layers: count(1, 1024),
  num_attention_heads: count(1, 1024),
  intermediate_size: count(1, 2 ** 20),
  vocab_size: count(1, 2 ** 24),
  max_position_embeddings: count(1, 2 ** 22),
  bos_token_id: v.nullish(tokenId, null),
  eos_token_id: v.nullish(v.union([tokenId, v.array(tokenId)]), null),
  tie_word_embeddings: v.optional(v.boolean(), false),
};

const common = v.object(decoderFields);

/** The part of a configuration that comes from {@link decoderFields}. */
export function commonOf(
  c: v.InferOutput<typeof common>,
): Pick<
  DecoderConfig,
  "size" | "layers" | "vocabulary" | "positions" | "heads" | "inner" | "tied" | "bosId" | "eosIds"
> {
  const eos = c.eos_token_id;
  return {
    size: c.hidden_size,
    layers: c.num_hidden_layers,
    vocabulary: c.vocab_size,
    positions: c.max_position_embeddings,
    heads: c.num_attention_heads,
    inner: c.intermediate_size,
    tied: c.tie_word_embeddings,
    bosId: c.bos_token_id,
    eosIds: eos === null ? [] : typeof eos === "number" ? [eos] : eos,
  };
}

/** Parses `value`, naming the field at fault. */
export function parseFields<T extends v.GenericSchema>(
  schema: T,
  value: unknown,
  name: string,
): v.InferOutput<T> {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  throw new ResonantError("invalid_file", issue.message, {
    where: `${name}: ${v.getDotPath(issue) ?? "config"}`,
  });
}

/** @throws ResonantError `invalid_file` for a number of heads that does not divide hidden_size */
export function headSizeOf(size: number, heads: number, where: string): number {
  if (size % heads === 0) return size / heads;
  throw new ResonantError("invalid_file", `${heads} heads do not divide hidden_size ${size}`, {
    where: `${where}: num_attention_heads`,
  });
}

/**
 * @throws ResonantError `unsupported` for heads too large for attention's kernels, or with more rotated values than a head
 * has
 */
export function checkHeads({ headSize, rope }: DecoderConfig, where: string): void {
  checkHeadSize(headSize, where);
  if (2 * rope.frequencies.length > headSize) {
    throw new ResonantError("unsupported", `attention heads of size ${headSize} cannot be rotated in pairs`, {
      where,
    });
  }
}

/** Hugging Face's names of activations, and the epilogues that compute them. */
const activations: Readonly<Record<string, Epilogue>> = {
  gelu: "gelu",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  relu: "relu",
  silu: "silu",
  swish: "silu",
};

/** @throws ResonantError `unsupported` naming the activation */
export function activationOf(name: string, where: string): Epilogue {
  const known = activations[name];
  if (known) return known;
  throw new ResonantError("unsupported", `the activation ${JSON.stringify(name)}`, {
    where: `${where}: hidden_act`,
    fix: `Supported are ${Object.keys(activations).join(", ")}`,
  });
}
