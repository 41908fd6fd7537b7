import { ResonantError } from "../../common/errors.ts";
import { checkTokens } from "../check-tokens.ts";
import type { Model } from "../model.ts";
import type { Alignment } from "./alignment-file.ts";
import { readEmbeddings } from "./embeddings.ts";
import { type HeldOut, HeldOutScore } from "./held-out.ts";
import { assertVectorMemory } from "./readout-bias.ts";
import { readouts } from "./readouts.ts";
import { Ridge, type RidgeFit } from "./ridge.ts";

/** The minimum tokens of a calibration text: ten have a next token, and one of these is held out. */
export const LEAST_TOKENS = 11;

export interface CalibrateOptions {
  /** λ, at least 0. */
  readonly lambda: number;
  /** Called with the number of tokens done and the total. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Calibration {
  readonly alignment: Alignment;
  /** Measured on the last tenth of the text, which the alignment was not fitted to. */
  readonly heldOut: HeldOut;
}

/**
 * Aligns the first block's memory with the embedding, so that its readout can bias the next token's logits (KISS-Ridge,
 * SPEC §5): `W = (ZᵀZ + λI)⁻¹ ZᵀE`, where row t of Z `[T, D]` is the memory m_t after token t of the text (see `readouts`),
 * and row t of E `[T, D]` the embedding of token t + 1. A token's bias is then its embedding's dot product with m_t W.
 * W is fitted in f64 to the first nine tenths of the text, and measured on the rest in the same stream. Needs O(D²) numbers
 * and the embeddings of the tokens that occur, whatever the length of the text.
 * @throws ResonantError `unsupported` if the model has no such memory; `invalid_argument` for too few tokens or one the
 * model lacks (option: `tokens`), or a λ that is out of range or leaves W undetermined (option: `lambda`); `model` if the
 * memory is not finite; the signal's reason when it is aborted
 */
export async function calibrate(
  model: Pick<Model, "gpu" | "runner">,
  tokens: ArrayLike<number>,
  { lambda, onProgress, signal }: CalibrateOptions,
): Promise<Calibration> {
  const { gpu, runner } = model;
  const { weights } = runner;
  const size = weights.shape.size;
  assertVectorMemory(weights);
  if (tokens.length < LEAST_TOKENS) {
    const message = `${tokens.length} tokens, and a calibration needs ${LEAST_TOKENS}`;
    throw new ResonantError("invalid_argument", message, { option: "tokens" });
  }
  const ids = Uint32Array.from(tokens);
  checkTokens(weights.embed.rows, ids, "tokens");
  const next = ids.subarray(1);
  const total = next.length;
  const fitted = total - Math.floor(total / 10);
  const embeddings = await readEmbeddings(gpu, weights, next);
  const ridge = new Ridge(size, size);
  let fit: RidgeFit | undefined;
  let score: HeldOutScore | undefined;
  try {
    for await (const { start, z } of readouts(runner, ids.subarray(0, total), signal)) {
      const end = start + z.length / size;
      const border = Math.min(Math.max(start, fitted), end);
      if (border > start) {
        ridge.add(z.subarray(0, (border - start) * size), embeddings.stack(next.subarray(start, border)));
      }
      if (border < end) {
        fit ??= ridge.solve(lambda);
        score ??= new HeldOutScore(
          gpu,
          weights,
          Float32Array.from(fit.weights),
          embeddings,
          next.subarray(0, fitted),
        );
        await score.add(z.subarray((border - start) * size), next.subarray(border, end));
      }
      onProgress?.(end, total);
    }
    const { weights: w, residual } = fit!;
    return {
      alignment: { weights: Float32Array.from(w), lambda, tokens: fitted, residual },
      heldOut: score!.result,
    };
  } finally {
    score?.destroy();
  }
}
