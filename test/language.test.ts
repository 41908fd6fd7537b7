import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type * as v from "valibot";
import { describe, expect, it } from "vitest";
import { deviceChoices, finishReasons } from "../api/contract.ts";
import { generateRequest, generateResponse, memoryStats, phaseMetrics } from "../api/schemas/generate.ts";
import type { Limits } from "../api/schemas/limits.ts";
import { modelInfoResponse } from "../api/schemas/responses.ts";
import { retrieveRequest, retrieveResponse } from "../api/schemas/retrieve.ts";
import { serverSettings } from "../api/settings.ts";

const limits: Limits = {
  model: undefined,
  maxTokens: 2048,
  promptChars: 8192,
  contextChars: 100_000,
  choices: 16,
  stateChars: 1000,
  vocabulary: 300,
  chat: true,
  readoutScale: 100,
  retrievalModes: ["pvm"],
};

const fieldsOf = ({ entries }: { readonly entries: v.ObjectEntries }): string[] => Object.keys(entries);

/** Names that are also those of a model's own files, which `config.ts` and the families read. */
const OF_MODEL_FILES = new Set(["hidden_size", "vocab_size", finishReasons.eos]);

/** Spellings of the API's contract that are no plain words. */
const contract = [
  ...fieldsOf(generateRequest(limits).pipe[0]),
  ...fieldsOf(generateResponse.pipe[0]),
  ...fieldsOf(phaseMetrics.pipe[0]),
  ...fieldsOf(memoryStats.pipe[0]),
  ...fieldsOf(retrieveRequest(limits).pipe[0]),
  ...fieldsOf(retrieveResponse.pipe[0]),
  ...fieldsOf(modelInfoResponse.pipe[0]),
  ...Object.values(finishReasons),
].filter((name) => name.includes("_") && !OF_MODEL_FILES.has(name));

/** Flags of the programs that the library gives advice on: browsers and Deno. */
const OF_OTHERS = new Set(["--enable-unsafe-webgpu", "--enable-features", "--use-angle", "--allow-ffi"]);

/** Every source of the library, without its tests. */
const sources = new Map<string, string>();
const root = fileURLToPath(new URL("..", import.meta.url));
for (const folder of ["engine", "kernels", "weights"]) {
  for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
    const file = join(folder, name);
    if (!file.endsWith(".ts") || /\.test\.ts$|\/testing[./]/.test(file)) continue;
    sources.set(file, readFileSync(join(root, file), "utf8"));
  }
}

/** `file: what it says` for each match. */
const found = (pattern: RegExp, but: readonly string[] = []): string[] =>
  [...sources]
    .filter(([file]) => !but.includes(file))
    .flatMap(([file, text]) => Array.from(text.matchAll(pattern), ([match]) => `${file}: ${match.trim()}`));

describe("the library", () => {
  it("is read whole, and the contract has spellings to look for", () => {
    expect(sources.size).toBeGreaterThan(150);
    expect(contract).toEqual(
      expect.arrayContaining(["top_k", "stop_sequences", "retrieval_mode", "max_tokens"]),
    );
    expect(contract).toEqual(expect.arrayContaining(["phase_coherence", "total_memory_kb", "state_bytes"]));
  });

  it("names no option, and no place of an error, in snake case", () => {
    expect(found(/(?:where|option): ["'`][a-z]+_[a-z_]+/g)).toEqual([]);
  });

  it("has none of the contract's fields, nor its words for devices and ends of texts", () => {
    expect(found(new RegExp(`(?<![\\w.])(?:${contract.join("|")})(?!\\w)`, "g"))).toEqual([]);
    const { cpu: _common, gpu: _plain, ...words } = deviceChoices;
    expect(found(new RegExp(`["'](?:${Object.keys(words).join("|")})["']`, "g"))).toEqual([]);
  });

  it("advises no setting of a server, and no flag of the command line", () => {
    const settings = serverSettings.map(({ variable }) => variable);
    expect(found(new RegExp(`(?<!\\w)(?:${settings.join("|")})(?!\\w)`, "g"))).toEqual([]);
    const ofNpm = ["engine/platform/node/npm-tarball.ts"]; // npm's
    const flags = found(/(?<=[\s"'`(])--[a-z][\w-]*/g, ofNpm).filter(
      (each) => !OF_OTHERS.has(each.split(": ")[1]!),
    );
    expect(flags).toEqual([]);
  });
});
