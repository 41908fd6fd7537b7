import * as v from "valibot";
import { ResonantError } from "../../common/errors.ts";
import { bytesSource } from "../../weights/byte-source.ts";
import { concatBytes } from "../../weights/concat-bytes.ts";
import { printable } from "../../weights/refuse.ts";
import { openSafetensors, writeSafetensors } from "../../weights/safetensors.ts";
import type { TensorFile } from "../../weights/tensor-file.ts";
import type { BlockShape } from "../config.ts";
import { sha256 } from "../fingerprint.ts";
import { Utf8Decoder } from "../text/utf8-decoder.ts";
import { concat } from "../weights.ts";

/** The complete state of a stream (SPEC §3.1). */
export interface StreamState {
  /** The number of tokens fed. */
  readonly position: number;
  /** The last token, not yet fed. */
  readonly pending: number | undefined;
  readonly seed: number;
  readonly choice: number;
  readonly text: { readonly bytes: Uint8Array; readonly text: string };
  /** `[layers, tail + pvm + plm, D]`. */
  readonly state: Float32Array;
  /** `[vocabulary]`: how often each token was fed. */
  readonly counts: Uint32Array;
}

/** The model that a state belongs to. */
export interface StateOwner {
  readonly shape: BlockShape;
  readonly layers: number;
  readonly vocabulary: number;
  /** Of the model's configuration and source weights. */
  readonly fingerprint: string;
  /** Only recorded: a state can be restored in any weight format. */
  readonly format: string;
}

const VERSION = "1";

/**
 * The largest size of a value. Memories and conv tails are sums of normalised values and stay far below; a larger one, squared
 * by a LayerNorm behind a product with large weights, could leave the range of f32.
 */
const LARGEST = 2 ** 24;
const BOUNDS = `values of a state are finite and at most ${LARGEST} in size`;

const isOutOfBounds = (value: number): boolean => !(Math.abs(value) <= LARGEST);
const NO_DIGEST = "0".repeat(64);

const whole = v.pipe(v.string(), v.regex(/^\d{1,16}$/), v.transform(Number), v.safeInteger());
const header = v.strictObject({
  format: v.literal("resonant-state"),
  version: v.string(),
  fingerprint: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  weights: v.string(),
  position: whole,
  pending: v.union([v.literal(""), whole]),
  seed: whole,
  choice: v.pipe(whole, v.maxValue(2 ** 32 - 1)),
  text: v.pipe(v.string(), v.maxLength(2 ** 20), v.regex(/^\P{Surrogate}*$/u, "holds half a surrogate pair")),
  bytes: v.pipe(v.string(), v.regex(/^([0-9a-f]{2}){0,3}$/)),
  sha256: v.string(),
});

/**
 * A stream's state as a safetensors file: `state.N.conv [k−1, D]`, `.pvm [D]`, `.plm [D]`, the tokens fed and their
 * counts. The metadata has the rest and the SHA-256 of the file, computed with zeros in its place.
 * @throws ResonantError `model` if the model has made a value that is out of bounds
 */
export async function encodeState(owner: StateOwner, s: StreamState): Promise<Uint8Array<ArrayBuffer>> {
  const tensors: {
    name: string;
    shape: number[];
    dtype: "F32" | "U32";
    values: Float32Array | Uint32Array;
  }[] = [];
  for (const { name, shape, offset, size } of parts(owner)) {
    const wrong = s.state.subarray(offset, offset + size).find(isOutOfBounds);
    if (wrong !== undefined) throw new ResonantError("model", `${name} became ${wrong}, but ${BOUNDS}`);
    tensors.push({ name, shape, dtype: "F32", values: s.state.slice(offset, offset + size) });
  }
  const fed = Array.from(s.counts.keys()).filter((token) => s.counts[token]);
  tensors.push(
    { name: "tokens", shape: [fed.length], dtype: "U32", values: Uint32Array.from(fed) },
    {
      name: "counts",
      shape: [fed.length],
      dtype: "U32",
      values: Uint32Array.from(fed, (token) => s.counts[token] ?? 0),
    },
  );
  const metadata = {
    format: "resonant-state",
    version: VERSION,
    fingerprint: owner.fingerprint,
    weights: owner.format,
    position: String(s.position),
    pending: s.pending === undefined ? "" : String(s.pending),
    seed: String(s.seed),
    choice: String(s.choice),
    text: s.text.text,
    bytes: Array.from(s.text.bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    sha256: NO_DIGEST,
  };
  const chunks: Uint8Array[] = [];
  const records = tensors.map(({ values, ...tensor }) => ({
    ...tensor,
    bytes: async () => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  }));
  for await (const chunk of writeSafetensors(records, metadata)) chunks.push(chunk);
  const file = concatBytes(chunks);
  file.set(new TextEncoder().encode(await sha256(file)), findDigest(file, NO_DIGEST));
  return file;
}

/**
 * Reads a state, checking all of it.
 * @throws ResonantError `state` naming what is damaged, or that it is of another model or version; `invalid_argument` naming
 * the tensor with a value that is out of bounds
 */
export async function decodeState(
  owner: StateOwner,
  file: Uint8Array<ArrayBuffer>,
  name: string,
): Promise<StreamState> {
  const fail = (message: string, fix?: string): never => {
    throw new ResonantError("state", message, fix === undefined ? { where: name } : { where: name, fix });
  };
  let opened: TensorFile;
  try {
    opened = await openSafetensors(bytesSource(name, file));
  } catch (cause) {
    return fail(`this is no state, or a damaged one (${cause instanceof Error ? cause.message : cause})`);
  }
  const { metadata } = opened;
  if (metadata.format !== "resonant-state") fail("this is no state of a stream");
  if (metadata.version !== VERSION) fail(`version ${metadata.version}; this engine reads version ${VERSION}`);
  const parsed = v.safeParse(header, metadata);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    return fail(`${v.getDotPath(issue) ?? "metadata"}: ${issue.message}`);
  }
  const h = parsed.output;
  const blank = file.slice();
  const place = findDigest(blank, h.sha256);
  if (place < 0 || !/^[0-9a-f]{64}$/.test(h.sha256)) fail("its SHA-256 is missing");
  blank.set(new TextEncoder().encode(NO_DIGEST), place);
  if ((await sha256(blank)) !== h.sha256) fail("its SHA-256 does not match: the file is damaged");
  if (h.fingerprint !== owner.fingerprint) {
    fail(
      `it belongs to another model (${h.fingerprint.slice(0, 12)}…, not ${owner.fingerprint.slice(0, 12)}…)`,
      "Load the model it was saved from",
    );
  }

  const expected = parts(owner);
  const known = new Set([...expected.map((part) => part.name), "tokens", "counts"]);
  for (const tensor of opened.tensors.keys()) {
    if (!known.has(tensor)) fail(`${printable(tensor)} is no part of such a state`);
  }
  const states: Float32Array[] = [];
  for (const part of expected) {
    const values = await opened.float32(expectTensor(opened, part.name, part.shape, "F32", fail));
    const wrong = values.find(isOutOfBounds);
    if (wrong !== undefined) {
      throw new ResonantError("invalid_argument", `${part.name} holds ${wrong}, but ${BOUNDS}`, {
        where: name,
      });
    }
    states.push(values);
  }
  const fed = opened.tensors.get("tokens")?.shape[0] ?? 0;
  const words = async (tensor: string): Promise<Uint32Array> => {
    const bytes = await opened.bytes(expectTensor(opened, tensor, [fed], "U32", fail));
    return new Uint32Array(bytes.slice().buffer);
  };
  const tokens = await words("tokens");
  const numbers = await words("counts");
  const counts = new Uint32Array(owner.vocabulary);
  tokens.forEach((token, i) => {
    if (token >= owner.vocabulary || counts[token]) fail(`token ${token} of its counts`);
    counts[token] = numbers[i] || fail(`token ${token} was fed 0 times`);
  });
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total !== h.position) fail(`position ${h.position}, but its counts are of ${total} tokens`);
  if (h.pending !== "" && h.pending >= owner.vocabulary) fail(`pending token ${h.pending}`);
  const bytes = Uint8Array.from(h.bytes.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  try {
    new Utf8Decoder(bytes);
  } catch {
    fail(`bytes ${h.bytes} begin no UTF-8 character`);
  }
  return {
    position: h.position,
    pending: h.pending === "" ? undefined : h.pending,
    seed: h.seed,
    choice: h.choice,
    text: { text: h.text, bytes },
    state: concat(states),
    counts,
  };
}

function expectTensor(
  file: TensorFile,
  name: string,
  shape: readonly number[],
  dtype: string,
  fail: (message: string) => never,
): string {
  const tensor = file.tensors.get(name);
  if (!tensor) return fail(`${name} is missing`);
  if (tensor.dtype !== dtype || tensor.shape.join() !== shape.join()) {
    fail(`${name} is ${tensor.dtype} [${tensor.shape.join(", ")}], not ${dtype} [${shape.join(", ")}]`);
  }
  return name;
}

/** The state's parts in their order in a slot. */
function parts({
  shape,
  layers,
}: StateOwner): { name: string; shape: number[]; offset: number; size: number }[] {
  const tail = Math.max(0, shape.taps - 1);
  const out: { name: string; shape: number[]; offset: number; size: number }[] = [];
  let offset = 0;
  const add = (name: string, dims: number[]): void => {
    const size = dims.reduce((product, dim) => product * dim, 1);
    if (size > 0) out.push({ name, shape: dims, offset, size });
    offset += size;
  };
  for (let layer = 0; layer < layers; layer++) {
    add(`state.${layer}.conv`, [tail, shape.size]);
    if (shape.pvm) add(`state.${layer}.pvm`, [shape.size]);
    if (shape.lattice) add(`state.${layer}.plm`, [shape.size]);
  }
  return out;
}

/** Returns the offset of the digest in the header: its last occurrence, since an earlier text may contain it too. */
function findDigest(file: Uint8Array, digest: string): number {
  const length = 8 + Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const text = new TextDecoder("latin1").decode(file.subarray(0, length));
  const quote = text.lastIndexOf(`"${digest}"`);
  return quote < 0 ? quote : quote + 1;
}
