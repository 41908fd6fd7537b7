import type { DecodedStep } from "./runner/decode-run.ts";
import type { Weights } from "./weights.ts";

/** The phase metrics of a generation (SPEC §4.4); null if the model lacks the feature or nothing was generated. */
export interface PhaseMetrics {
  readonly phaseCoherence: number | null;
  readonly gammaMean: number | null;
  readonly omegaValues: readonly number[];
  readonly phaseOffsets: readonly number[];
}

/** The memory measures of a generation (SPEC §4.4); null if the model lacks the memory. */
export interface MemoryStats {
  readonly pvmMemoryNorm: number | null;
  readonly pvmGateStrength: number | null;
  readonly plmCoherence: number | null;
  /** The bytes of the stream. */
  readonly memoryBytes: number;
}

const mean = (values: readonly number[]): number | null =>
  values.length > 0 ? values.reduce((sum, value) => sum + value, 0) / values.length : null;

/** Averages the measures of the steps that fed the tokens of one generation. */
export class MetricsMeter {
  readonly #weights: Weights;
  readonly #columns: [number[], number[], number[], number[]] = [[], [], [], []];

  constructor(weights: Weights) {
    this.#weights = weights;
  }

  /** Adds the averages over blocks of R, lattice coherence, gate and |m| of a step. */
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

  /** @param bytes the bytes of the stream */
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
