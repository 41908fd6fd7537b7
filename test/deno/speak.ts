// In Deno, whose WebGPU is wgpu: loads models with the library's browser build, and prints a `Spoken`.
import { readFile } from "node:fs/promises";
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import type { WeightFormat } from "../../engine/platform/library.ts";
import { type Answers, answersOf } from "../answers.ts";

/** A model to ask: the paths of its files by their names. */
export interface ToAsk {
  readonly files: Readonly<Record<string, string>>;
  readonly adapters?: string;
  readonly format: WeightFormat;
}

export interface Spoken {
  /** The adapter; null: there is none. */
  readonly adapter: string | null;
  readonly answers: readonly Answers[];
}

async function speak(path: string, asked: readonly ToAsk[]): Promise<Spoken> {
  if (!(await navigator.gpu.requestAdapter())) return { adapter: null, answers: [] };
  const library: typeof import("../../engine/platform/browser/index.ts") = await import(
    pathToFileURL(path).href
  );
  const gpu = await library.Gpu.open(await library.requestAdapter());
  const answers: Answers[] = [];
  for (const { files, adapters, format } of asked) {
    const blobs = new Map<string, Blob>();
    for (const [name, file] of Object.entries(files)) blobs.set(name, new Blob([await readFile(file)]));
    const model = await library.loadModel(blobs, { gpu, adapters, format, slots: 4 });
    answers.push(await answersOf(library, model));
  }
  return { adapter: gpu.name, answers };
}

console.log(JSON.stringify(await speak(argv[2]!, JSON.parse(await readFile(argv[3]!, "utf8")))));
