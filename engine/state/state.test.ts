import { describe, expect, it } from "vitest";
import { firstDifference, mulberry32, testGpu } from "../../test/gpu.ts";
import { goldenModelFiles, loadTiny } from "../../test/models.ts";
import { bytesSource } from "../../weights/byte-source.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../../weights/safetensors.ts";
import { refusal } from "../../weights/testing/fixtures.ts";
import { sha256 } from "../fingerprint.ts";
import { collect } from "../generate.ts";
import { Model } from "../model.ts";
import type { Stream } from "./stream.ts";

type Bytes = Uint8Array<ArrayBuffer>;

let opened: Promise<Model> | undefined;
const tiny = (): Promise<Model> => {
  opened ??= testGpu().then((gpu) => loadTiny(gpu));
  return opened;
};

const OPTIONS = { seed: 11, temperature: 1, maxTokens: 12, repetitionPenalty: 1.3, keepPending: true };
const STOPS = { stopSequences: ["\ufffdnever", "anever"] };

/** A stream of the tiny model after 12 tokens, and its saved state. */
async function saved(model: Model): Promise<{ stream: Stream; file: Bytes }> {
  const stream = model.open();
  await collect(model.generate("the oscillators agree", { ...OPTIONS, ...STOPS, stream }));
  return { stream, file: await model.save(stream) };
}

describe("a saved state", () => {
  it("restored and continued is what the uninterrupted stream gives, bit for bit", async () => {
    const model = await tiny();
    const { stream, file } = await saved(model);
    const restored = await model.restore(file);
    expect(await model.save(restored)).toEqual(file);
    const more = { ...OPTIONS, ...STOPS, maxTokens: 40 };
    const continued = await collect(model.generate("", { ...more, stream: restored }));
    const uninterrupted = await collect(model.generate("", { ...more, stream }));
    expect(continued).toEqual(uninterrupted);
    expect(await model.save(restored)).toEqual(await model.save(stream));
    const whole = model.open();
    const once = { ...OPTIONS, ...STOPS, maxTokens: 52, stream: whole };
    const all = await collect(model.generate("the oscillators agree", once));
    expect(all.tokens.slice(12)).toEqual(continued.tokens);
    const a = await model.runner.pool.read(whole.slot);
    const b = await model.runner.pool.read(restored.slot);
    expect(firstDifference(a.state, b.state)).toBe(-1);
    expect(firstDifference(a.counts, b.counts)).toBe(-1);
    for (const each of [stream, restored, whole]) each.close();
  });

  it("is accepted by the same model in another weight format", async () => {
    const model = await tiny();
    const { stream, file } = await saved(model);
    const other = await loadTiny(model.gpu, { format: "f16", slots: 1 });
    expect(other.fingerprint).toBe(model.fingerprint);
    const restored = await other.restore(file);
    const { tokens } = await collect(other.generate("", { ...OPTIONS, ...STOPS, stream: restored }));
    expect(tokens).toHaveLength(12);
    for (const each of [stream, restored]) each.close();
  });

  it.each([
    ["other weights", "native_grid2x4", {}],
    ["another configuration", "native_long", { pvm: { omega: [6.5, 6.6, 6.8], phi: [0.2, 0.3, 0.4] } }],
  ])("is refused by a model of %s, both named", async (_, golden, config) => {
    const model = await tiny();
    const { stream, file } = await saved(model);
    const other = await Model.load(model.gpu, await goldenModelFiles(golden, config), { slots: 1 });
    const error = await refusal(other.restore(file, "my.state"));
    expect(error).toMatchObject({ code: "state", where: "my.state" });
    expect(error.message).toContain(model.fingerprint.slice(0, 12));
    expect(error.message).toContain(other.fingerprint.slice(0, 12));
    stream.close();
  });

  it("of an empty stream restores to an empty stream", async () => {
    const model = await tiny();
    const empty = model.open();
    const restored = await model.restore(await model.save(empty));
    expect(restored).toMatchObject({ position: 0, pending: undefined });
    const texts = [];
    for (const stream of [empty, restored]) {
      texts.push(await collect(model.generate("a", { ...OPTIONS, stream })));
      stream.close();
    }
    expect(texts[0]).toEqual(texts[1]);
  });
});

describe("a fork", () => {
  it("with the same seed says the same, with another something else, and leaves its origin alone", async () => {
    const model = await tiny();
    const { stream, file } = await saved(model);
    const forks = [stream.fork(), stream.fork(), stream.fork()];
    const [first, second, other] = [
      await collect(model.generate("", { ...OPTIONS, seed: 1, stream: forks[0]! })),
      await collect(model.generate("", { ...OPTIONS, seed: 1, stream: forks[1]! })),
      await collect(model.generate("", { ...OPTIONS, seed: 2, stream: forks[2]! })),
    ];
    expect(first).toEqual(second);
    expect(other.tokens).not.toEqual(first.tokens);
    expect(await model.save(stream)).toEqual(file);
    for (const each of [stream, ...forks]) each.close();
  });
});

describe("a damaged state is refused as a state, never otherwise:", () => {
  it("any one byte changed", async () => {
    const model = await tiny();
    const { stream, file } = await saved(model);
    const next = mulberry32(5);
    for (let at = 0; at < file.length; at++) {
      const damaged = file.slice();
      damaged[at]! ^= 1 + Math.floor(next() * 255);
      expect((await refusal(model.restore(damaged))).code, `byte ${at}`).toBe("state");
    }
    stream.close();
  });

  it("a stretch overwritten, removed or repeated", async () => {
    const model = await tiny();
    const { stream, file } = await saved(model);
    const next = mulberry32(6);
    for (let round = 0; round < 300; round++) {
      const from = Math.floor(next() * file.length);
      const to = from + 1 + Math.floor(next() * Math.min(200, file.length - from));
      const noise = Uint8Array.from({ length: to - from }, () => Math.floor(next() * 256));
      const middle = [noise, new Uint8Array(), [...file.subarray(from, to), ...file.subarray(from, to)]];
      const damaged = Uint8Array.from([
        ...file.subarray(0, from),
        ...middle[round % 3]!,
        ...file.subarray(to),
      ]);
      expect((await refusal(model.restore(damaged))).code, `${from} to ${to}`).toBe("state");
    }
    stream.close();
  });

  it("cut short anywhere, or longer than it was", async () => {
    const model = await tiny();
    const { stream, file } = await saved(model);
    for (let length = 0; length < file.length; length += length < 64 ? 1 : 37) {
      expect((await refusal(model.restore(file.slice(0, length)))).code, `${length} bytes`).toBe("state");
    }
    expect((await refusal(model.restore(Uint8Array.from([...file, 0])))).code).toBe("state");
    stream.close();
  });

  it("what is no state at all", async () => {
    const model = await tiny();
    const text = (words: string): Bytes => new TextEncoder().encode(words);
    for (const file of [new Uint8Array(), text("ROMEO:"), text("{}"), new Uint8Array(4096).fill(255)]) {
      expect((await refusal(model.restore(file))).code).toBe("state");
    }
  });
});

interface Parts {
  readonly metadata: Record<string, string>;
  readonly tensors: Map<string, { dtype: "F32" | "U32" | "F16"; shape: number[]; bytes: Bytes }>;
}

/** The file with `change` made to its parts, and a SHA-256 that fits. */
async function forge(file: Bytes, change: (parts: Parts) => void): Promise<Bytes> {
  const source = await openSafetensors(bytesSource("state", file));
  const parts: Parts = { metadata: { ...source.metadata } as Record<string, string>, tensors: new Map() };
  for (const { name, dtype, shape } of source.tensors.values()) {
    parts.tensors.set(name, {
      dtype: dtype as "F32" | "U32",
      shape: [...shape],
      bytes: (await source.bytes(name)).slice() as Bytes,
    });
  }
  change(parts);
  const zeros = "0".repeat(64);
  if ("sha256" in parts.metadata) parts.metadata.sha256 = zeros;
  const list: TensorToWrite[] = [...parts.tensors].map(([name, { dtype, shape, bytes }]) => ({
    name,
    dtype,
    shape,
    bytes: async () => bytes,
  }));
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeSafetensors(list, parts.metadata)) chunks.push(chunk);
  const out = new Uint8Array(Buffer.concat(chunks));
  const place = Buffer.from(out.buffer).lastIndexOf(`"${zeros}"`);
  if (place >= 0) out.set(new TextEncoder().encode(await sha256(out)), place + 1);
  return out;
}

const words = (...values: number[]): Bytes => new Uint8Array(Uint32Array.from(values).buffer);
const set = (parts: Parts, key: string, value: string): void => {
  parts.metadata[key] = value;
};

describe("a forged state with a SHA-256 that fits", () => {
  it("is restored where nothing was changed: what follows is refused for what it holds", async () => {
    const model = await tiny();
    const { stream, file } = await saved(model);
    const same = await forge(file, () => {});
    expect(same).toEqual(file);
    (await model.restore(same)).close();
    stream.close();
  });

  const changes: [string, RegExp, (parts: Parts) => void][] = [
    [
      "a NaN in its memory",
      /state\.1\.pvm/,
      ({ tensors }) => poison(tensors.get("state.1.pvm")!, Number.NaN),
    ],
    [
      "a memory too large for f32",
      /state\.0\.pvm holds [23].*e\+38.*16777216/,
      ({ tensors }) => poison(tensors.get("state.0.pvm")!, 3e38),
    ],
    [
      "an infinity in its lattice",
      /state\.2\.plm/,
      ({ tensors }) => poison(tensors.get("state.2.plm")!, -1 / 0),
    ],
    ["a position beyond whole numbers", /position/, (p) => set(p, "position", "9007199254740992")],
    ["a position that its counts do not fit", /position/, (p) => set(p, "position", "4000000000")],
    ["a negative position", /position/, (p) => set(p, "position", "-1")],
    ["a position that is no number", /position/, (p) => set(p, "position", "1e3")],
    ["a pending token beyond the vocabulary", /pending token 300/, (p) => set(p, "pending", "300")],
    ["a pending token that is no number", /pending/, (p) => set(p, "pending", "a")],
    ["a seed beyond whole numbers", /seed/, (p) => set(p, "seed", "9999999999999999")],
    ["a choice beyond 32 bits", /choice/, (p) => set(p, "choice", "4294967296")],
    ["four undecoded bytes", /bytes/, (p) => set(p, "bytes", "f09f9880")],
    ["undecoded bytes that begin no character", /bytes/, (p) => set(p, "bytes", "41")],
    ["undecoded bytes that are not hexadecimal", /bytes/, (p) => set(p, "bytes", "xy")],
    ["a text without an end", /text/, (p) => set(p, "text", "a".repeat(2 ** 20 + 1))],
    ["half a surrogate pair in its text", /text/, (p) => set(p, "text", "a\ud83d")],
    ["another field", /extra/, (p) => set(p, "extra", "1")],
    ["no seed", /seed/, ({ metadata }) => delete metadata.seed],
    ["no SHA-256", /sha256/i, ({ metadata }) => delete metadata.sha256],
    ["another format's name", /no state/, (p) => set(p, "format", "resonant-model")],
    ["a fingerprint that is none", /fingerprint/, (p) => set(p, "fingerprint", "abc")],
    [
      "another tensor",
      /extra/,
      ({ tensors }) => tensors.set("extra", { dtype: "U32", shape: [1], bytes: words(1) }),
    ],
    ["a layer's memory missing", /state\.0\.pvm is missing/, ({ tensors }) => tensors.delete("state.0.pvm")],
    ["no counts", /counts is missing/, ({ tensors }) => tensors.delete("counts")],
    ["no tokens", /tokens is missing/, ({ tensors }) => tensors.delete("tokens")],
    [
      "a memory of another shape",
      /state\.0\.pvm/,
      ({ tensors }) => reshape(tensors.get("state.0.pvm")!, [2, 32]),
    ],
    [
      "a memory of another type",
      /state\.0\.pvm/,
      ({ tensors }) => retype(tensors.get("state.0.pvm")!, "U32"),
    ],
    ["counts of a token beyond the vocabulary", /token 300/, (p) => count(p, [300], [33])],
    ["counts of a token that was never fed", /0 times/, (p) => count(p, [5, 6], [33, 0])],
    ["two counts of one token", /token 5/, (p) => count(p, [5, 5], [30, 3])],
    ["more tokens than counts", /counts/, (p) => count(p, [5, 6], [33])],
    ["tokens in two dimensions", /tokens/, ({ tensors }) => reshape(tensors.get("tokens")!, [1, -1])],
  ];

  const outOfBounds = new Set([
    "a NaN in its memory",
    "an infinity in its lattice",
    "a memory too large for f32",
  ]);

  it.each(changes)("is refused for %s", async (what, named, change) => {
    const model = await tiny();
    const { stream, file } = await saved(model);
    const free = model.runner.pool.free;
    const error = await refusal(model.restore(await forge(file, change), "forged"));
    const code = outOfBounds.has(what) ? "invalid_argument" : "state";
    expect(error).toMatchObject({ code, where: "forged" });
    expect(error.message).toMatch(named);
    expect(model.runner.pool.free).toBe(free);
    stream.close();
  });

  it("is refused for another version, both named", async () => {
    const model = await tiny();
    const { stream, file } = await saved(model);
    const error = await refusal(model.restore(await forge(file, (p) => set(p, "version", "27"))));
    expect(error.code).toBe("state");
    expect(error.message).toMatch(/version 27\b.*version 1\b/);
    stream.close();
  });
});

type Part = { dtype: "F32" | "U32" | "F16"; shape: number[]; bytes: Bytes };

function poison({ bytes }: Part, value: number): void {
  new Float32Array(bytes.buffer)[7] = value;
}

function reshape(part: Part, shape: number[]): void {
  const rest = part.bytes.length / 4;
  part.shape = shape.map((size) => (size < 0 ? rest : size));
}

function retype(part: Part, dtype: Part["dtype"]): void {
  part.dtype = dtype;
}

function count({ tensors, metadata }: Parts, tokens: number[], numbers: number[]): void {
  tensors.set("tokens", { dtype: "U32", shape: [tokens.length], bytes: words(...tokens) });
  tensors.set("counts", { dtype: "U32", shape: [numbers.length], bytes: words(...numbers) });
  metadata.position = String(numbers.reduce((sum, n) => sum + n, 0));
}
