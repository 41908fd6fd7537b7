import { expose, releaseProxy, transfer } from "comlink";
import {
  Gpu,
  loadModel,
  type Model,
  ResonantError,
  requestAdapter,
  type WeightFormat,
} from "../../engine/platform/browser/index.ts";
import { search } from "../search/search.ts";
import { sendErrors } from "./errors.ts";
import type {
  LoadProgress,
  ModelInfo,
  ModelSource,
  OpenStream,
  Sampling,
  SearchAnswer,
  SearchRequest,
  WriteEvent,
  Written,
} from "./protocol.ts";
import { TracedStream } from "./traced-stream.ts";

/** One for each session, and some for forks that exist for a moment. */
const SLOTS = 8;

/** The engine, in its own worker so that the page never waits for it. A worker loads one model. */
class Engine {
  #model: Model | undefined;
  readonly #streams = new Map<number, TracedStream>();
  #next = 1;
  #search: AbortController | undefined;

  /** @param onLost called when the device is lost: nothing here works after that, and a new worker is needed */
  async load(
    source: ModelSource,
    format: WeightFormat,
    onProgress: (progress: LoadProgress) => void,
    onRemark: (remark: string) => void,
    onLost: (reason: string) => void,
  ): Promise<ModelInfo> {
    const adapter = await requestAdapter();
    const gpu = await Gpu.open(adapter);
    void gpu.device.lost.then(({ message }) => onLost(message));
    const model = await loadModel(source.kind === "url" ? source.url : source.files, {
      gpu,
      format,
      slots: SLOTS,
      prefixBytes: 0,
      onRemark,
      onProgress: (bytes, total, from) => {
        const what = from === "cache" ? "reading the weights from the cache" : "fetching the weights";
        onProgress({ what: bytes === total ? "preparing the model" : what, bytes, total });
      },
    });
    this.#model = model;
    return describe(model, source);
  }

  open(): OpenStream {
    const model = this.#loaded();
    return this.#keep(new TracedStream(model, model.open()));
  }

  async write(
    id: number,
    prompt: string,
    sampling: Sampling,
    choice: number,
    offset: number,
    tell: (event: WriteEvent) => void,
  ): Promise<Written> {
    const traced = this.#stream(id);
    try {
      return await traced.write(prompt, sampling, choice, offset, (event) => {
        const states = event.traces.flatMap(({ state }) => (state ? [state.buffer] : []));
        tell(transfer(event, states));
      });
    } finally {
      release(tell);
    }
  }

  stop(id: number): void {
    this.#stream(id).stop();
  }

  async save(id: number): Promise<Uint8Array<ArrayBuffer>> {
    const file = await this.#loaded().save(this.#stream(id).stream);
    return transfer(file, [file.buffer]);
  }

  /** @param name the file's name in error messages */
  async restore(file: Uint8Array<ArrayBuffer>, name: string): Promise<OpenStream> {
    const model = this.#loaded();
    return this.#keep(new TracedStream(model, await model.restore(file, name)));
  }

  fork(id: number): OpenStream {
    return this.#keep(this.#stream(id).fork());
  }

  close(id: number): void {
    this.#stream(id).close();
    this.#streams.delete(id);
  }

  async search(request: SearchRequest, onProgress: (characters: number) => void): Promise<SearchAnswer> {
    const stop = new AbortController();
    this.#search = stop;
    try {
      return await search(this.#loaded(), request, onProgress, stop.signal);
    } finally {
      release(onProgress);
    }
  }

  stopSearch(): void {
    this.#search?.abort();
  }

  #keep(traced: TracedStream): OpenStream {
    const id = this.#next++;
    this.#streams.set(id, traced);
    return { id, position: traced.stream.position };
  }

  #loaded(): Model {
    if (this.#model) return this.#model;
    throw new ResonantError("invalid_argument", "no model is loaded");
  }

  #stream(id: number): TracedStream {
    const traced = this.#streams.get(id);
    if (traced) return traced;
    throw new ResonantError("invalid_argument", `there is no stream ${id}`);
  }
}

function describe({ facts, memory, gpu }: Model, source: ModelSource): ModelInfo {
  const { blocks, size, stateRows } = facts;
  return {
    name: source.name,
    family: facts.family,
    format: facts.format,
    layers: blocks.length,
    size,
    vocabulary: facts.vocabulary,
    weightBytes: memory.weights,
    stateBytes: facts.stateBytes,
    portable: facts.portable,
    modes: (["hybrid", "pvm", "plm"] as const).filter((mode) => facts.retrievalModes.includes(mode)),
    shape: {
      layers: blocks.length,
      size,
      rows: stateRows.count,
      vectorRow: stateRows.pvm,
      latticeRow: stateRows.plm,
      grid: facts.lattice?.grid ?? null,
    },
    adapter: gpu.name,
    software: gpu.kind === "software",
  };
}

/** Releases the page's callback. */
function release(callback: unknown): void {
  (callback as { [releaseProxy]?: () => void })[releaseProxy]?.();
}

export type { Engine };

sendErrors();
expose(new Engine());
