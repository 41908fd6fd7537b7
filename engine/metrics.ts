import type { DecodedStep } from "./runner/decode-run.ts";
import type { Weights } from "./weights.ts";

/** SPEC §4's phase metrics, measured on a generation; null where the model lacks the feature or nothing was generated. */
export interface PhaseMetrics {
  readonly phase_coherence: number | null;
  readonly gamma_mean: number | null;
  readonly omega_values: readonly number[];
  readonly phase_offsets: readonly number[];
}

export interface MemoryStats {
  readonly pvm_mem_norm: number | null;
  readonly pvm_gate_strength: number | null;
  readonly plm_coherence: number | null;
  readonly total_memory_kb: number;
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
      phase_coherence: this.#weights.shape.pvm ? mean(this.#columns[0]) : null,
      gamma_mean: mean(constants.map(({ gamma }) => gamma)),
      omega_values: constants.map(({ driveOmega }) => driveOmega),
      phase_offsets: constants.map(({ drivePhi }) => drivePhi),
    };
  }

  /** @param bytes that the stream takes */
  memory(bytes: number): MemoryStats {
    const { pvm, lattice } = this.#weights.shape;
    return {
      pvm_mem_norm: pvm ? (this.#columns[3].at(-1) ?? null) : null,
      pvm_gate_strength: pvm ? mean(this.#columns[2]) : null,
      plm_coherence: lattice ? mean(this.#columns[1]) : null,
      total_memory_kb: bytes / 1024,
    };
  }
}
