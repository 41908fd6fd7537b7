import { embed } from "../../kernels/embed/embed.ts";
import { encodeRun, runUniform } from "../../kernels/run.ts";
import type { Gpu } from "../device/gpu.ts";
import { TemporaryBuffers } from "../device/temporary-buffers.ts";
import type { Weights } from "../weights.ts";

/** The tokens per GPU pass. */
const ROWS = 256;

/** The embedding rows of the requested tokens. */
export class Embeddings {
  readonly size: number;
  readonly #rows: ReadonlyMap<number, Float32Array>;

  constructor(size: number, rows: ReadonlyMap<number, Float32Array>) {
    this.size = size;
    this.#rows = rows;
  }

  /** `[D]`. */
  row(token: number): Float32Array {
    return this.#rows.get(token)!;
  }

  /** `[tokens, D]`. */
  stack(tokens: Uint32Array): Float32Array {
    const out = new Float32Array(tokens.length * this.size);
    tokens.forEach((token, row) => {
      out.set(this.row(token), row * this.size);
    });
    return out;
  }
}

/**
 * Reads the embeddings of `tokens`, each once, widened from the format in which the GPU stores the table.
 * @param tokens each below the vocabulary
 */
export async function readEmbeddings(
  gpu: Gpu,
  { embed: table }: Weights,
  tokens: Iterable<number>,
): Promise<Embeddings> {
  const ids = [...new Set(tokens)];
  const size = table.columns;
  const rows = new Map<number, Float32Array>();
  const scratch = new TemporaryBuffers(gpu, "alignment");
  try {
    const run = runUniform(scratch.host, "run of embeddings");
    const fed = scratch.words("tokens", ROWS);
    const h = scratch.words("embeddings", ROWS * size);
    const lookup = embed(scratch.host, table, {
      run,
      schedule: scratch.words("schedule", 8),
      tokens: fed,
      counts: scratch.words("counts", table.rows),
      h,
    });
    for (let start = 0; start < ids.length; start += ROWS) {
      const batch = Uint32Array.from(ids.slice(start, start + ROWS));
      const shape = { rows: batch.length, length: batch.length };
      gpu.device.queue.writeBuffer(run, 0, encodeRun(shape));
      gpu.device.queue.writeBuffer(fed, 0, batch);
      gpu.submit((encoder) => gpu.record(encoder, lookup, shape));
      const values = await gpu.readFloats(h, 0, batch.length * size);
      batch.forEach((token, row) => {
        rows.set(token, values.slice(row * size, (row + 1) * size));
      });
    }
  } finally {
    scratch.destroy();
  }
  return new Embeddings(size, rows);
}
