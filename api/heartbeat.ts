import type { Gpu } from "../engine/device/gpu.ts";

/** Checks every second whether the GPU still completes its work. */
export class Heartbeat {
  readonly #gpu: Gpu;
  readonly #timer: NodeJS.Timeout;
  #asked = false;
  #last = performance.now();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#timer = setInterval(() => this.#ask(), 1000);
    this.#timer.unref();
  }

  #ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    const answered = this.#gpu.device.queue.onSubmittedWorkDone();
    answered.then(
      () => {
        this.#asked = false;
        this.#last = performance.now();
      },
      () => {}, // the device was lost; `fault` reports it
    );
  }

  /** Returns why the engine is dead: its device failed, or has not answered for `timeout` seconds. Undefined if it is alive. */
  fault(timeout: number): string | undefined {
    try {
      this.#gpu.assertAlive();
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    const silence = (performance.now() - this.#last) / 1000;
    return silence > timeout ? `the GPU has not answered for ${silence.toFixed(0)} s` : undefined;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
