import type { DecodedStep } from "./runner/decode-run.ts";
import type { Weights } from "./weights.ts";

/** SPEC §4's phase metrics, measured on a generation; null where the model lacks the feature or nothing was generated. */
export interface PhaseMetrics {
  readonly phaseCoherence: number | null;
  readonly gammaMean: number | null;
  readonly omegaValues: readonly number[];
  readonly phaseOffsets: readonly number[];
}

/** SPEC §4's measures of the memories on a generation; null where the model lacks the memory. */
export interface MemoryStats {
  readonly pvmMemoryNorm: number | null;
  readonly pvmGateStrength: number | null;
  readonly plmCoherence: number | null;
  /** What the stream takes. */
  readonly memoryBytes: number;
}

const mean = (values: readonly number[]): number | null =>
  values.length > 0 ? values.reduce((sum, value) => sum + value, 0) / values.length : null;

/** Averages what the steps that fed the tokens of one generation measured. */
export class MetricsMeter {
  readonly #weights: Weights;
  readonly #columns: [number[], number[], number[], number[]] = [[], [], [], []];

  constructor(weights: Weights) {
    this.#weights = weights;
  }

  /** Each step's average over blocks of R, lattice coherence, gate and |m|. */
  add({ measures }: DecodedStep): void {
    if (!measures) return;
    this.#columns.forEach((column, which) => {
      column.push(mean(Array.from(measures).filter((_, i) => i % 4 === which)) ?? 0);
    });
  }

  phase(): PhaseMetrics {
    const constants = this.#weights.blocks.map((block) => block.constants);
    return {
      phaseCoherence: this.#weights.shape.pvm ? mean(this.#columns[0]) : null,
      gammaMean: mean(constants.map(({ gamma }) => gamma)),
      omegaValues: constants.map(({ driveOmega }) => driveOmega),
      phaseOffsets: constants.map(({ drivePhi }) => drivePhi),
    };
  }

  /** @param bytes that the stream takes */
  memory(bytes: number): MemoryStats {
    const { pvm, lattice } = this.#weights.shape;
    return {
      pvmMemoryNorm: pvm ? (this.#columns[3].at(-1) ?? null) : null,
      pvmGateStrength: pvm ? mean(this.#columns[2]) : null,
      plmCoherence: lattice ? mean(this.#columns[1]) : null,
      memoryBytes: bytes,
    };
  }
}
