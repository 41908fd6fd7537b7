import * as v from "valibot";
import { ResonantError } from "../../common/errors.ts";

/** Rotary position embedding (Su et al. 2021): how far each position rotates the pairs of a head. */
export interface Rope {
  /** ω of each pair, in radians per position. A head has twice as many rotated dimensions. */
  readonly frequencies: Float32Array;
  /** Factor of cosine and sine (YaRN's attention factor); 1 otherwise. */
  readonly scale: number;
}

const positive = v.pipe(v.number(), v.finite(), v.minValue(Number.MIN_VALUE));
const optional = v.nullish(positive);

/** Takes `rope_parameters`, or the older `rope_scaling` and `rope_theta`. */
const parameters = v.object({
  rope_type: v.nullish(v.string()),
  type: v.nullish(v.string()),
  rope_theta: optional,
  partial_rotary_factor: optional,
  factor: optional,
  original_max_position_embeddings: optional,
  low_freq_factor: optional,
  high_freq_factor: optional,
  attention_factor: optional,
  beta_fast: optional,
  beta_slow: optional,
  mscale: optional,
  mscale_all_dim: optional,
  truncate: v.nullish(v.boolean()),
});

export const ropeFields = {
  rope_parameters: v.nullish(parameters),
  rope_scaling: v.nullish(parameters),
  rope_theta: optional,
};

type Parameters = v.InferOutput<typeof parameters>;
type RopeFields = {
  readonly [field in keyof typeof ropeFields]?: v.InferOutput<(typeof ropeFields)[field]>;
};

/**
 * The rotary embedding of heads of `headSize` dimensions, of which the fraction `partial` is rotated unless the parameters
 * give another one.
 */
export function readRope(
  fields: RopeFields,
  model: { headSize: number; theta: number; partial: number; positions: number },
  where: string,
): Rope {
  const p: Parameters = fields.rope_parameters ?? fields.rope_scaling ?? {};
  const kind = p.rope_type ?? p.type ?? "default";
  const theta = p.rope_theta ?? fields.rope_theta ?? model.theta;
  const size = Math.floor(model.headSize * (p.partial_rotary_factor ?? model.partial));
  const original = p.original_max_position_embeddings ?? model.positions;
  const need = (field: "factor" | "low_freq_factor" | "high_freq_factor"): number => {
    const value = p[field];
    if (typeof value === "number") return value;
    throw new ResonantError("invalid_file", `${kind} scaling needs it`, { where: `${where}.${field}` });
  };
  checkHeadSize(model.headSize, where);
  if (size > model.headSize) {
    throw new ResonantError("invalid_file", `it rotates ${size} of a head's ${model.headSize} values`, {
      where,
    });
  }
  const plain = Array.from({ length: Math.ceil(size / 2) }, (_, i) => theta ** ((-2 * i) / size));
  const rope = (frequencies: readonly number[], scale = 1): Rope => ({
    frequencies: Float32Array.from(frequencies),
    scale,
  });
  switch (kind) {
    case "default":
      return rope(plain);
    case "linear":
      return rope(plain.map((frequency) => frequency / need("factor")));
    case "llama3":
      return rope(plain.map((frequency) => llama3(frequency, original, need)));
    case "yarn":
      return yarn(plain, p, { theta, size, original, positions: model.positions });
    default:
      throw new ResonantError("unsupported", `rope scaling ${JSON.stringify(kind)}`, {
        where,
        fix: "Supported are default, linear, llama3 and yarn",
      });
  }
}

/** Llama 3.1: slow pairs are slowed down by `factor`, fast ones stay, and those between are blended. */
function llama3(
  frequency: number,
  original: number,
  need: (field: "factor" | "low_freq_factor" | "high_freq_factor") => number,
): number {
  const [factor, low, high] = [need("factor"), need("low_freq_factor"), need("high_freq_factor")];
  const turns = (original * frequency) / (2 * Math.PI); // in the original context
  const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
  return frequency * (kept + (1 - kept) / factor);
}

/** YaRN (Peng et al. 2023), its equations 17 to 22 with the ramp over dimensions. */
function yarn(
  plain: readonly number[],
  p: Parameters,
  { theta, size, original, positions }: { theta: number; size: number; original: number; positions: number },
): Rope {
  const factor = p.factor ?? positions / original;
  const grow = (scale: number, weight = 1): number => (scale <= 1 ? 1 : 0.1 * weight * Math.log(scale) + 1);
  const scale =
    p.attention_factor ??
    (p.mscale && p.mscale_all_dim ? grow(factor, p.mscale) / grow(factor, p.mscale_all_dim) : grow(factor));
  /** The dimension that makes so many turns in the original context. */
  const dimension = (turns: number): number =>
    (size * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const whole = p.truncate !== false;
  const [fast, slow] = [dimension(p.beta_fast ?? 32), dimension(p.beta_slow ?? 1)];
  const first = Math.max(whole ? Math.floor(fast) : fast, 0);
  const last = Math.min(whole ? Math.ceil(slow) : slow, size - 1);
  const width = last === first ? 0.001 : last - first;
  return {
    frequencies: Float32Array.from(plain, (frequency, i) => {
      const slowed = Math.min(1, Math.max(0, (i - first) / width));
      return frequency * (1 - slowed + slowed / factor);
    }),
    scale,
  };
}

/** Cosine and sine of each position and pair: `[positions, pairs, 2]`. Angles are f32 products, as in training. */
export function ropeTable({ frequencies, scale }: Rope, positions: number): Float32Array<ArrayBuffer> {
  const pairs = frequencies.length;
  const table = new Float32Array(positions * pairs * 2);
  for (let position = 0; position < positions; position++) {
    for (let pair = 0; pair < pairs; pair++) {
      const angle = Math.fround(position * (frequencies[pair] ?? 0));
      table.set([Math.cos(angle) * scale, Math.sin(angle) * scale], 2 * (position * pairs + pair));
    }
  }
  return table;
}

/** @throws ResonantError `unsupported` for heads too large for attention's kernels */
export function checkHeadSize(headSize: number, where: string): void {
  if (headSize <= 256) return;
  throw new ResonantError(
    "unsupported",
    `attention heads of size ${headSize}; the largest supported size is 256`,
    { where },
  );
}
