import { createHash } from "node:crypto";
import { beforeAll, expect, it } from "vitest";
import { parseConfig } from "../../engine/config.ts";
import { decodeState, encodeState, type StateOwner } from "../../engine/state/state-file.ts";
import { stateShape } from "../../engine/state/state-pool.ts";
import { tinyConfig } from "../models.ts";
import { mutateBytes } from "./mutate.ts";
import { fuzz } from "./rounds.ts";

const { shape, layers, vocabulary } = parseConfig(tinyConfig, "tiny");
const owner: StateOwner = { shape, layers, vocabulary, fingerprint: "5".repeat(64), format: "f32" };
let file: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  file = await encodeState(owner, {
    position: 7,
    pending: 65,
    seed: 3,
    choice: 0,
    text: { bytes: Uint8Array.of(0xe2, 0x82), text: "held back" },
    state: new Float32Array(stateShape(shape, layers).slotStride).map((_, i) => Math.sin(i)),
    counts: new Uint32Array(vocabulary).map((_, i) => Number(i >= 65 && i < 72)),
  });
});

/** The file with the digest of what is in it now, as one who means harm would write it. */
function signed(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const text = Buffer.from(bytes).toString("latin1");
  const at = text.indexOf('"sha256":"') + '"sha256":"'.length;
  if (at < 64 || at + 64 > bytes.length) return bytes;
  bytes.fill(0x30, at, at + 64);
  bytes.set(Buffer.from(createHash("sha256").update(bytes).digest("hex")), at);
  return bytes;
}

it("a state is read or refused, damaged or changed with its digest made anew", async () => {
  expect(await decodeState(owner, signed(file.slice()), "it")).toMatchObject({ position: 7, pending: 65 });
  await fuzz(1500, async (random) => {
    const changed = mutateBytes(file, random);
    const state = await decodeState(owner, random() < 0.9 ? signed(changed) : changed, "it");
    expect(state.state.every((value) => Number.isFinite(value))).toBe(true);
    expect(state.counts).toHaveLength(vocabulary);
  });
});
