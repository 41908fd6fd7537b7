import { signal } from "@preact/signals";
import { proxy, type Remote, wrap } from "comlink";
import type { WeightFormat } from "../../engine/platform/browser/index.ts";
import { type Failure, failureOf, sendErrors } from "./errors.ts";
import type {
  LoadProgress,
  ModelInfo,
  ModelSource,
  Sampling,
  SearchAnswer,
  SearchRequest,
  WriteEvent,
  Written,
} from "./protocol.ts";
import type { Engine } from "./worker.ts";

/** A model to load. */
export interface Choice {
  readonly source: ModelSource;
  readonly format: WeightFormat;
}

/** The page's state. `model` is the loaded model, or the one loaded before the device was lost. */
export type Status =
  | {
      readonly kind: "loading";
      readonly progress: LoadProgress | undefined;
      readonly model?: ModelInfo | undefined;
    }
  /** `failure`: why another model could not be loaded in its place. */
  | { readonly kind: "ready"; readonly model: ModelInfo; readonly failure?: Failure }
  | { readonly kind: "failed"; readonly failure: Failure; readonly model?: ModelInfo | undefined }
  | { readonly kind: "lost"; readonly model: ModelInfo; readonly reason: string };

/** A worker, and the model that it was asked to load. */
interface Running {
  readonly choice: Choice;
  readonly worker: Worker;
  readonly engine: Remote<Engine>;
  /** Why its device was lost, if it was. */
  lost?: string;
}

sendErrors();

/** Manages the workers. Each load starts a new one, so that nothing remains of another model or a lost device. */
export class Client {
  readonly status = signal<Status>({ kind: "loading", progress: undefined });
  /** Remarks about the model's files, such as parts that are not used. */
  readonly remarks = signal<readonly string[]>([]);
  #running: Running | undefined;
  /** The newest load, finished or not. */
  #next: Running | undefined;

  /** Loads a model in place of the current one, which stays if that fails. Returns whether it was loaded. */
  async load(choice: Choice): Promise<boolean> {
    const { model } = this.status.peek();
    if (this.#next !== this.#running) this.#next?.worker.terminate();
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "engine" });
    const next: Running = { choice, worker, engine: wrap<Engine>(worker) };
    this.#next = next;
    this.status.value = { kind: "loading", progress: undefined, model };
    const remarks: string[] = [];
    try {
      const loaded = await this.#loaded(next, model, remarks);
      if (this.#next !== next) return false;
      this.#running?.worker.terminate();
      this.#running = next;
      this.remarks.value = remarks;
      this.status.value = { kind: "ready", model: loaded };
      return true;
    } catch (error) {
      if (this.#next !== next) return false;
      worker.terminate();
      const failure = failureOf(error);
      const { lost } = this.#running ?? {};
      if (!this.#running || !model) this.status.value = { kind: "failed", failure, model };
      else if (lost === undefined) this.status.value = { kind: "ready", model, failure };
      else this.status.value = { kind: "lost", model, reason: lost };
      return false;
    }
  }

  /** Repeats the last load; after a lost device, loads the lost model again. */
  async reload(): Promise<boolean> {
    const choice = (this.#running ?? this.#next)?.choice;
    this.#running?.worker.terminate();
    this.#running = undefined;
    return choice !== undefined && this.load(choice);
  }

  /** Clears the failure, once the reader has seen it. */
  dismiss(): void {
    const status = this.status.peek();
    if (status.kind === "ready") this.status.value = { kind: "ready", model: status.model };
  }

  get engine(): Remote<Engine> {
    if (this.#running) return this.#running.engine;
    throw new Error("no model is loaded");
  }

  write(
    id: number,
    prompt: string,
    sampling: Sampling,
    choice: number,
    offset: number,
    tell: (event: WriteEvent) => void,
  ): Promise<Written> {
    return this.engine.write(id, prompt, sampling, choice, offset, proxy(tell));
  }

  search(
    request: SearchRequest,
    onProgress: (characters: number) => void,
    signal: AbortSignal,
  ): Promise<SearchAnswer> {
    const { engine } = this;
    signal.addEventListener("abort", () => void engine.stopSearch());
    return engine.search(request, proxy(onProgress));
  }

  #loaded(running: Running, model: ModelInfo | undefined, remarks: string[]): Promise<ModelInfo> {
    const { choice, worker, engine } = running;
    const dead = new Promise<never>((_, reject) => {
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message || "The engine could not be started"));
      };
    });
    const onProgress = (progress: LoadProgress): void => {
      if (this.#next?.worker === worker && this.status.peek().kind === "loading")
        this.status.value = { kind: "loading", progress, model };
    };
    const onRemark = (remark: string): void => {
      remarks.push(remark);
    };
    const onLost = (reason: string): void => {
      running.lost = reason;
      const status = this.status.peek();
      if (this.#running === running && status.kind === "ready")
        this.status.value = { kind: "lost", model: status.model, reason };
    };
    const { source, format } = choice;
    return Promise.race([
      engine.load(source, format, proxy(onProgress), proxy(onRemark), proxy(onLost)),
      dead,
    ]);
  }
}
