import type { Dispatch } from "../../kernels/kernel.ts";
import { LAGS, lagAlignment, mostLag } from "../../kernels/lag-alignment/lag-alignment.ts";
import { linearTiled } from "../../kernels/linear/linear.ts";
import { type Matrix, slicesOf } from "../../kernels/matrix.ts";
import { fadeTable, memoryWindow, planarWidth } from "../../kernels/memory-window/memory-window.ts";
import { encodeRun, runUniform } from "../../kernels/run.ts";
import { latticeRows, segmentCosine } from "../../kernels/segment-cosine/segment-cosine.ts";
import type { Gpu } from "../device/gpu.ts";
import { Submissions } from "../device/submissions.ts";
import { TemporaryBuffers } from "../device/temporary-buffers.ts";
import { readFades } from "./decay.ts";
import { type FeatureTable, featuresOf, SILENCE } from "./feature-table.ts";
import type { FeatureModel, RetrievalMode } from "./retrieval-model.ts";
import { cutSegments, type Segments } from "./segments.ts";

/** The weights of PVM and PLM in each mode. */
const weightsOf: Readonly<Record<RetrievalMode, readonly [number, number]>> = {
  pvm: [1, 0],
  plm: [0, 1],
  hybrid: [0.5, 0.5],
};

/** The maximum tokens per GPU block, limited also by this size in bytes. */
const MOST_ROWS = 8192;
const LEAST_ROWS = 256;
const ROOM = 32 * 2 ** 20;

/** The scores of consecutive positions of a context for the cues. */
export interface Scores {
  /** The first position, in tokens. */
  readonly first: number;
  readonly count: number;
  /** `[cues, modes, count]`: see `readScore`. */
  readonly scores: Uint32Array;
}

export interface ResonanceOptions {
  /** The tokens of each cue, at least one. */
  readonly cues: readonly (readonly number[])[];
  readonly modes: readonly RetrievalMode[];
  readonly signal?: AbortSignal | undefined;
}

/**
 * Compares a streamed context with cues on the GPU. It computes the windowed states of both memories after every token, their
 * cosines with each segment of each cue, and at every position the best alignment of the segments within a lag of a few
 * tokens. The tokens of a block are computed in parallel. A ring buffer carries the cosines that a cue still needs to the
 * next block. The size of its buffers depends only on the cues and the model.
 */
export class Resonance {
  /** The number of tokens in the longest cue. */
  readonly longest: number;
  /** The number of segments of each cue. */
  readonly segments: readonly number[];
  readonly #gpu: Gpu;
  readonly #features: FeatureTable;
  readonly #signal: AbortSignal | undefined;
  readonly #scratch: TemporaryBuffers;
  readonly #columns: number;
  readonly #rows: number;
  readonly #ring: number;
  readonly #slots: GPUBuffer;
  readonly #run: GPUBuffer;
  readonly #ringRows: GPUBuffer;
  readonly #positions: GPUBuffer;
  readonly #scores: GPUBuffer;
  readonly #compare: readonly Dispatch[];
  readonly #align: Dispatch;
  /** The feature slots of the last `span − 1` tokens. */
  #tail: Uint32Array;
  #tokens = 0;
  #compared = 0;

  private constructor(
    gpu: Gpu,
    features: FeatureTable,
    scratch: TemporaryBuffers,
    { cues, modes, signal }: ResonanceOptions,
    segments: Segments,
    layout: Layout,
    signatures: Signatures,
  ) {
    const { width, longest, segmentCount: count, rows, ring, windows, scales, slots, run } = layout;
    const { span, ends } = segments;
    this.#gpu = gpu;
    this.#features = features;
    this.#scratch = scratch;
    this.#signal = signal;
    this.#columns = cues.length * modes.length;
    this.#rows = rows;
    this.#ring = ring;
    this.segments = ends.map((own) => own.length);
    this.#slots = slots;
    this.#run = run;
    this.longest = longest;
    this.#tail = new Uint32Array(span - 1).fill(SILENCE);
    const { host } = scratch;
    this.#ringRows = host.uniform("retrieval rows", new Uint32Array(4));
    this.#positions = host.uniform("retrieval positions", new Uint32Array(4));
    this.#scores = scratch.words("scores", this.#columns * rows);
    const products = scratch.words("products", rows * 3 * count);
    const cosines = scratch.words("cosines", ring * count * 2);
    const product = (weight: Matrix | undefined, from: number, to: number): Dispatch[] =>
      weight
        ? linearTiled(host, run, {
            weight,
            input: { buffer: windows, stride: 2 * width, offset: from },
            output: { buffer: products, stride: 3 * count, offset: to },
            epilogue: "store",
          })
        : [];
    this.#compare = [
      layout.window,
      ...product(signatures.pvm, 0, 0),
      ...product(signatures.plm, width, count),
      segmentCosine(host, count, ring, { rows: this.#ringRows, products, scales, cosines }),
    ];
    const first = ends.map((_, cue) => ends.slice(0, cue).flat().length);
    this.#align = lagAlignment(
      host,
      { cues: cues.length, modes: modes.length, segments: count, ring },
      {
        positions: this.#positions,
        cosines,
        cues: scratch.upload(
          "cues",
          Uint32Array.from(
            ends.flatMap((own, cue) => [first[cue]!, own.length, mostLag(cues[cue]!.length), 0]),
          ),
        ),
        ends: scratch.upload("ends", Uint32Array.from(ends.flat())),
        modes: scratch.upload("modes", Float32Array.from(modes.flatMap((mode) => weightsOf[mode]))),
        scores: this.#scores,
      },
    );
  }

  /** @throws ResonantError `invalid_argument` for a token the model lacks, `model` where a feature is not finite */
  static async open(model: FeatureModel, options: ResonanceOptions): Promise<Resonance> {
    const { gpu, weights } = model;
    const { cues, modes } = options;
    const features = featuresOf(model);
    const fades = await readFades(gpu, weights);
    const segments = cutSegments(cues.map((cue) => cue.length));
    const count = segments.ends.flat().length;
    const { size } = weights.shape;
    const width = planarWidth(size);
    const columns = cues.length * modes.length;
    const bytes = 4 * (2 * width + 2 + 5 * count + 2 * columns + 1);
    const rows = Math.min(
      MOST_ROWS,
      features.most - segments.span,
      Math.max(LEAST_ROWS, Math.floor(ROOM / bytes)),
      // The larger product is the lattice's, with two rows a segment.
      Math.max(1, Math.floor(gpu.submissionWork / (4 * count * width))),
    );
    const longest = Math.max(...cues.map((cue) => cue.length));
    const scratch = new TemporaryBuffers(gpu, "retrieval");
    try {
      const windows = scratch.words("windows", rows * 2 * width);
      const scales = scratch.words("scales", rows * 2);
      const slots = scratch.words("slots", segments.span - 1 + rows);
      const layout: Layout = {
        width,
        longest,
        segmentCount: count,
        rows,
        ring: rows + longest + 2 * LAGS,
        windows,
        scales,
        slots,
        run: runUniform(scratch.host, "retrieval run"),
        window: memoryWindow(scratch.host, size, segments.span, {
          features: features.buffer,
          slots,
          fades: scratch.upload("fades", fadeTable(fades, size, segments.span)),
          windows,
          scales,
        }),
      };
      const signatures = await readSignatures(gpu, features, scratch, layout, segments, options);
      return new Resonance(gpu, features, scratch, options, segments, layout, signatures);
    } catch (error) {
      scratch.destroy();
      throw error;
    }
  }

  /** The maximum GPU memory in bytes, including the feature table and scores being read. */
  get bytes(): number {
    return this.#scratch.bytes + this.#features.buffer.size + 2 * this.#scores.size;
  }

  /** Adds the next tokens of the context. Calls `tell` with scores when the tokens that they need have arrived. */
  async push(tokens: Uint32Array, tell: (scores: Scores) => void): Promise<void> {
    await this.#blocks(tokens.length, tell, (start, end) => {
      const part = tokens.subarray(start, end);
      return this.#features.with(part, (slots) => this.#submit(slots), this.#signal);
    });
  }

  /** Adds the silence after the context. Calls `tell` with the scores of all remaining positions. */
  async finish(tell: (scores: Scores) => void): Promise<void> {
    const silence = this.longest - 1 + LAGS;
    await this.#blocks(silence, tell, (start, end) =>
      Promise.resolve(this.#submit(new Uint32Array(end - start).fill(SILENCE))),
    );
  }

  destroy(): void {
    this.#scratch.destroy();
  }

  /** Submits the blocks in order, each before awaiting the scores of the previous one. */
  async #blocks(
    length: number,
    tell: (scores: Scores) => void,
    submit: (start: number, end: number) => Promise<Submitted>,
  ): Promise<void> {
    let before: Submitted | undefined;
    try {
      for (let start = 0; start < length; start += this.#rows) {
        this.#signal?.throwIfAborted();
        const next = await submit(start, Math.min(length, start + this.#rows));
        const done = before;
        before = next;
        if (done) tell(await done.scores);
      }
    } finally {
      // Prevents an unhandled rejection if nothing else awaits it.
      before?.scores.catch(() => {});
    }
    if (before) tell(await before.scores);
  }

  /** Compares the tokens in `slots`, at most one block, and reads the scores that this completes. */
  #submit(slots: Uint32Array<ArrayBuffer>): Submitted {
    const gpu = this.#gpu;
    const { queue } = gpu.device;
    const rows = slots.length;
    const all = new Uint32Array(this.#tail.length + rows);
    all.set(this.#tail);
    all.set(slots, this.#tail.length);
    this.#tail = all.slice(all.length - this.#tail.length);
    queue.writeBuffer(this.#slots, 0, all);
    queue.writeBuffer(this.#run, 0, encodeRun({ rows, length: rows }));
    queue.writeBuffer(this.#ringRows, 0, Uint32Array.of(rows, this.#tokens % this.#ring));
    this.#tokens += rows;
    const first = this.#compared;
    const count = Math.max(0, this.#tokens - (this.longest - 1 + LAGS) - first);
    this.#compared += count;
    const before = Math.min(first, 2 ** 31 - 1);
    queue.writeBuffer(this.#positions, 0, Uint32Array.of(count, first % this.#ring, before, count));
    const submissions = new Submissions(gpu);
    submissions.dispatch(this.#compare, { rows, length: rows });
    if (count > 0) submissions.dispatch([this.#align], { rows: count, length: count });
    submissions.end();
    if (count === 0) return { scores: Promise.resolve({ first, count, scores: new Uint32Array() }) };
    const read = gpu.read(this.#scores, 0, 4 * this.#columns * count);
    return { scores: read.then((bytes) => ({ first, count, scores: new Uint32Array(bytes) })) };
  }
}

interface Submitted {
  readonly scores: Promise<Scores>;
}

/** The layout that the windows of cues and contexts share. */
interface Layout {
  /** W, of `planarWidth`. */
  readonly width: number;
  /** Tokens of the longest cue. */
  readonly longest: number;
  /** The number of segments of all cues. */
  readonly segmentCount: number;
  /** The maximum tokens per block. */
  readonly rows: number;
  /** The number of rows of cosines in the ring. */
  readonly ring: number;
  /** `[rows, 2, W]`. */
  readonly windows: GPUBuffer;
  /** `[rows, 2]`. */
  readonly scales: GPUBuffer;
  readonly slots: GPUBuffer;
  readonly run: GPUBuffer;
  readonly window: Dispatch;
}

/** The matrices that windows are multiplied by: `[segments, W]` and `[2 · segments, W]`, if a mode needs them. */
interface Signatures {
  readonly pvm: Matrix | undefined;
  readonly plm: Matrix | undefined;
}

/** Computes the windows at the ends of the segments, with silence before each cue. */
async function readSignatures(
  gpu: Gpu,
  features: FeatureTable,
  scratch: TemporaryBuffers,
  { width, rows, windows, scales, slots, window }: Layout,
  { span, ends }: Segments,
  { cues, modes, signal }: ResonanceOptions,
): Promise<Signatures> {
  const signatures: Float32Array[] = [];
  for (const [cue, tokens] of cues.entries()) {
    // The window of a segment depends only on its own tokens, so cues can be cut into blocks.
    for (let start = 0; start < tokens.length; start += rows) {
      const from = Math.max(0, start - span + 1);
      const part = tokens.slice(from, start + rows);
      const count = Math.min(rows, tokens.length - start);
      const found = await features.with(
        part,
        (own) => {
          const all = new Uint32Array(span - 1 + count).fill(SILENCE);
          all.set(own, all.length - own.length);
          gpu.device.queue.writeBuffer(slots, 0, all);
          gpu.submit((encoder) => gpu.record(encoder, [window], { rows: count, length: count }));
          return {
            values: gpu.readFloats(windows, 0, count * 2 * width),
            lengths: gpu.readFloats(scales, 0, count * 2),
          };
        },
        signal,
      );
      const [values, lengths] = await Promise.all([found.values, found.lengths]);
      for (const end of ends[cue]!) {
        if (end < start || end >= start + count) continue;
        const row = 2 * (end - start);
        const own = values.subarray(row * width, (row + 2) * width);
        signatures.push(own.map((value, i) => value * lengths[row + Math.floor(i / width)]!));
      }
    }
  }
  const matrix = (label: string, parts: readonly Float32Array[]): Matrix => {
    const columns = slicesOf(width) * 32;
    const vectors = parts.flatMap((part) =>
      Array.from({ length: part.length / width }, (_, i) => part.subarray(i * width, (i + 1) * width)),
    );
    const padded = new Float32Array(vectors.length * columns);
    vectors.forEach((vector, row) => {
      padded.set(vector, row * columns);
    });
    const buffer = scratch.upload(label, padded);
    return { buffer, rows: vectors.length, columns: width, format: "f32", layout: "rows" };
  };
  const [pvm, plm] = [modes.some((mode) => mode !== "plm"), modes.some((mode) => mode !== "pvm")];
  return {
    pvm: pvm
      ? matrix(
          "segments of the vector memory",
          signatures.map((both) => both.subarray(0, width)),
        )
      : undefined,
    plm: plm
      ? matrix(
          "segments of the lattice",
          signatures.map((both) => latticeRows(both.subarray(width))),
        )
      : undefined,
  };
}
