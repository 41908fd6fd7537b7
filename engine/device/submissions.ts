import type { Dispatch, RunShape } from "../../kernels/kernel.ts";
import type { Gpu } from "./gpu.ts";

/** What is recorded between dispatches: copies. */
type Recorded = (encoder: GPUCommandEncoder) => void;

/**
 * Dispatches and copies, submitted in their order in as many command buffers as keep each within `Gpu.submissionWork`. They
 * are submitted by {@link end}, and before where there is too much work for one command buffer. A dispatch is never cut.
 */
export class Submissions {
  readonly #gpu: Gpu;
  #recorded: Recorded[] = [];
  #work = 0;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  dispatch(list: readonly Dispatch[], run: RunShape): void {
    let first = 0;
    for (const [index, dispatch] of list.entries()) {
      const work = workOf(dispatch, run);
      if (this.#work > 0 && this.#work + work > this.#gpu.submissionWork) {
        this.#record(list.slice(first, index), run);
        this.end();
        first = index;
      }
      this.#work += work;
    }
    this.#record(list.slice(first), run);
  }

  copy(recorded: Recorded): void {
    this.#recorded.push(recorded);
  }

  /** Submits what has not been submitted yet. */
  end(): void {
    const recorded = this.#recorded;
    this.#recorded = [];
    this.#work = 0;
    this.#gpu.submit((encoder) => {
      for (const record of recorded) record(encoder);
    });
  }

  #record(list: readonly Dispatch[], run: RunShape): void {
    if (list.length > 0) this.#recorded.push((encoder) => this.#gpu.record(encoder, list, run));
  }
}

function workOf({ grid, work }: Dispatch, run: RunShape): number {
  const [x, y] = grid(run);
  return x * y === 0 ? 0 : work(run);
}

/** Submits `list` as {@link Submissions}. */
export function submitAll(gpu: Gpu, list: readonly Dispatch[], run: RunShape): void {
  const submissions = new Submissions(gpu);
  submissions.dispatch(list, run);
  submissions.end();
}
