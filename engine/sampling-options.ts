import { ResonantError } from "../common/errors.ts";
import { MOST_BIASES } from "../kernels/adjust-logits/adjust-logits.ts";
import { TOP_LOGPROBS } from "../kernels/logprobs/logprobs.ts";

/** The range of a number: from `least` to `most`, both included. */
export interface NumberRange {
  readonly least: number;
  readonly most: number;
  /** Whole numbers only. */
  readonly whole: boolean;
}

const number = <const Default extends number | undefined>(least: number, most: number, value: Default) => ({
  least,
  most,
  whole: false,
  default: value,
});

const integer = <const Default extends number | undefined>(least: number, most: number, value: Default) => ({
  least,
  most,
  whole: true,
  default: value,
});

/**
 * Ranges and defaults of the numeric options of a generation, for all interfaces. Without a default here: `seed` and
 * `choice` (from the stream) and `logprobs` (off).
 */
export const samplingOptions = {
  maxTokens: integer(1, Number.MAX_SAFE_INTEGER, 100),
  /** 0: argmax. */
  temperature: number(0, 2, 0.7),
  /** 0: off. */
  topK: integer(0, 2 ** 31 - 1, 50),
  topP: number(0, 1, 0.95),
  /** Share of the likeliest token's probability; 0: off. */
  minP: number(0, 1, 0),
  repetitionPenalty: number(1, 2, 1),
  presencePenalty: number(-2, 2, 0),
  frequencyPenalty: number(-2, 2, 0),
  phaseTemperature: number(0, 100, 0),
  readoutScale: number(0, 100, 0),
  seed: integer(0, Number.MAX_SAFE_INTEGER, undefined),
  choice: integer(0, 2 ** 32 - 1, undefined),
  logprobs: integer(0, TOP_LOGPROBS, undefined),
  runAhead: integer(0, 1024, 8),
} as const satisfies Readonly<Record<string, NumberRange & { readonly default: number | undefined }>>;

/** Only the defaults. */
export const samplingDefaults = {
  maxTokens: samplingOptions.maxTokens.default,
  temperature: samplingOptions.temperature.default,
  topK: samplingOptions.topK.default,
  topP: samplingOptions.topP.default,
  minP: samplingOptions.minP.default,
  repetitionPenalty: samplingOptions.repetitionPenalty.default,
  presencePenalty: samplingOptions.presencePenalty.default,
  frequencyPenalty: samplingOptions.frequencyPenalty.default,
  phaseTemperature: samplingOptions.phaseTemperature.default,
  runAhead: samplingOptions.runAhead.default,
} as const;

/** The range of a token's bias, and the most tokens that have one. */
export const logitBiasRange = { least: -100, most: 100, entries: MOST_BIASES } as const;

/** @throws ResonantError `invalid_argument` naming `logitBias` for too many tokens, an unknown one, or a bias out of range */
export function checkLogitBias(
  vocabulary: number,
  bias: Readonly<Record<number, number>>,
): Map<number, number> {
  const { least, most, entries } = logitBiasRange;
  const refuse = (message: string) => new ResonantError("invalid_argument", message, { option: "logitBias" });
  const found = new Map(Object.entries(bias).map(([token, value]) => [Number(token), value]));
  if (found.size > entries) throw refuse(`${found.size} tokens have a bias, at most ${entries} can`);
  for (const [token, value] of found) {
    if (!Number.isInteger(token) || token < 0 || token >= vocabulary) {
      throw refuse(`${token} is not a token from 0 to ${vocabulary - 1}`);
    }
    if (!(value >= least && value <= most)) throw refuse(`${value} is not from ${least} to ${most}`);
  }
  return found;
}

export type SamplingOption = keyof typeof samplingOptions;

/** @throws ResonantError `invalid_argument` naming an option that is out of range */
export function checkSamplingOptions(
  options: { readonly [Name in SamplingOption]?: number | undefined },
): void {
  for (const [option, { least, most, whole }] of Object.entries(samplingOptions)) {
    const value = options[option as SamplingOption];
    if (value === undefined) continue;
    if (value >= least && value <= most && (!whole || Number.isInteger(value))) continue;
    const message = `${value} is not ${whole ? "a whole number " : ""}from ${least} to ${most}`;
    throw new ResonantError("invalid_argument", message, { option });
  }
}
