import { expect, it } from "vitest";
import { below, type Random, seeded } from "../../bench/random.ts";
import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import { Scheduler } from "./scheduler.ts";
import { type Cursor, DEPTH, type DecodeOptions } from "./sequence.ts";
import { decodeAlone, EMPTY, SimulatedDevice } from "./testing/simulated-device.ts";

const CLIENTS = 40;
const SAMPLING = {
  temperature: 1,
  topK: 0,
  topP: 1,
  repetitionPenalty: 1,
  phaseTemperature: 0,
  choice: 0,
} as const;

/** How a reader behaves. */
interface Reader {
  readonly prompt: readonly number[];
  readonly client: number;
  readonly seed: number;
  readonly maxTokens: number;
  readonly runAhead: number;
  /** Rounds of the event loop before it comes. */
  readonly comes: number;
  /** Tokens after which it takes a pause of some rounds; 0: none. */
  readonly pauses: number;
  /** Tokens after which it stops reading. */
  readonly stopsAfter: number;
  /** Rounds after its coming when it is aborted. */
  readonly abortsAfter: number | undefined;
}

const tokens = (random: Random, length: number): number[] =>
  Array.from({ length }, () => below(random, 50_000));

/** A few prompts of each client come many times, and many begin alike. */
function makeReaders(seed: number, count: number): Reader[] {
  const random = seeded(seed);
  const chance = (probability: number): boolean => random() < probability;
  const beginnings = Array.from({ length: CLIENTS }, () => tokens(random, 3 * CHUNK + 10));
  const repeated = Array.from({ length: CLIENTS }, () => tokens(random, 1 + below(random, 200)));
  return Array.from({ length: count }, (_, i) => {
    const client = i % CLIENTS;
    const steady = client < 4; // all of its sequences come at once and stay
    const own = tokens(random, 1 + below(random, chance(0.05) ? 500 : 30));
    const begun = chance(0.1) ? [...beginnings[client]!, ...own] : own;
    const maxTokens = 1 + below(random, 12);
    const leaves = !steady && chance(0.3);
    return {
      prompt: chance(0.1) ? repeated[client]! : begun,
      client,
      seed: i,
      maxTokens,
      runAhead: [8, 8, 3, 1, 0][below(random, 5)]!,
      comes: steady ? 0 : below(random, 300),
      pauses: chance(0.1) ? 1 + below(random, 5) : 0,
      stopsAfter: leaves && chance(0.5) ? below(random, maxTokens) : maxTokens,
      abortsAfter: leaves && chance(0.5) ? below(random, 2000) : undefined,
    };
  });
}

/** Reads as its reader does. @returns how many tokens it was given */
async function read(device: SimulatedDevice, scheduler: Scheduler, slot: number, reader: Reader) {
  const { prompt, client, seed, maxTokens, runAhead, pauses, stopsAfter, abortsAfter } = reader;
  if (reader.comes > 0) await device.ticks(reader.comes);
  const cursor: Cursor = { slot, position: 0, pending: undefined };
  const controller = new AbortController();
  if (abortsAfter !== undefined) void device.ticks(abortsAfter).then(() => controller.abort("gone"));
  const sampling = { ...SAMPLING, seed };
  const options: DecodeOptions = { sampling, measure: false, maxTokens, runAhead, client };
  const signal = abortsAfter === undefined ? undefined : controller.signal;
  const given: number[] = [];
  try {
    for await (const { token } of scheduler.decode(cursor, prompt, { ...options, signal })) {
      given.push(token);
      if (given.length >= stopsAfter) break;
      if (pauses > 0 && given.length % pauses === 0) await device.ticks(1 + (given.length % 7));
    }
  } catch (error) {
    if (error !== "gone") throw error;
  }
  // Its slot holds what it holds alone after as many tokens.
  const alone = given.length > 0 ? decodeAlone(prompt, seed, given.length) : { tokens: [], state: EMPTY };
  if (given.join() !== alone.tokens.join())
    throw new Error(`sequence ${slot} was given other tokens than alone`);
  const { hash, fed, pending } = device.states[slot]!;
  if (hash !== alone.state.hash || fed !== alone.state.fed || pending !== alone.state.pending) {
    throw new Error(`sequence ${slot} is left elsewhere than after its last token`);
  }
  if (cursor.position !== fed || cursor.pending !== pending) {
    throw new Error(`sequence ${slot} is told that it stands elsewhere than its state`);
  }
  return given.length;
}

it("ten thousand sequences of 40 clients end as they do alone, whoever comes, leaves or is slow, and clients take turns", async () => {
  const count = 10_000;
  const readers = makeReaders(1, count);
  const device = new SimulatedDevice({ slots: count, promptRows: 512, maxSteps: 32, prefixRows: 64 });
  const scheduler = new Scheduler(device, device);
  const reading = Promise.all(readers.map((reader, slot) => read(device, scheduler, slot, reader)));
  await Promise.all([reading, device.settle()]);
  const given = await reading;

  // Each was given all its tokens, unless it left.
  const left = readers.filter(({ maxTokens }, i) => given[i]! < maxTokens);
  expect(
    left.every(
      ({ stopsAfter, maxTokens, abortsAfter }) => stopsAfter < maxTokens || abortsAfter !== undefined,
    ),
  ).toBe(true);
  expect(left.length).toBeGreaterThan(count / 10);

  // Nothing is held when all have ended.
  expect(scheduler.size).toBe(0);
  expect(device.snapshotsInUse).toBe(0);

  // Two turns are in flight at most, and no sequence is more than two runs ahead of its reader.
  expect(device.mostRunsInFlight).toBe(DEPTH);
  expect(device.mostRowsInFlight).toBeLessThanOrEqual(DEPTH * device.promptRows);
  expect(device.mostSnapshots).toBe(DEPTH);

  // Prompts that are the same, or begin alike, were not fed again.
  const prompts = readers.reduce((sum, { prompt }) => sum + prompt.length, 0);
  expect(device.fedTokens).toBeLessThan(0.8 * prompts);
  expect(Math.max(...device.runSizes)).toBeGreaterThan(100);

  // Between two parts of a client's prompts, every other client had at most one.
  const waits = new Array<number>(CLIENTS).fill(0);
  const longest = new Array<number>(CLIENTS).fill(0);
  const last = [0, 1, 2, 3].map((client) =>
    device.fedSlots.findLastIndex((slot) => slot % CLIENTS === client),
  );
  device.fedSlots.forEach((slot, at) => {
    for (let client = 0; client < 4; client++) {
      if (at > last[client]!) continue;
      waits[client] = readers[slot]!.client === client ? 0 : waits[client]! + 1;
      longest[client] = Math.max(longest[client]!, waits[client]!);
    }
  });
  expect(Math.max(...longest)).toBeLessThan(CLIENTS);
  expect(Math.max(...longest)).toBeGreaterThan(CLIENTS / 2);
});

it("a long prompt is fed in turns, of which two are in flight", async () => {
  const device = new SimulatedDevice({ slots: 1, promptRows: 512, maxSteps: 32, prefixRows: 0 });
  const scheduler = new Scheduler(device, device);
  const [some] = makeReaders(1, 1);
  const prompt = tokens(seeded(2), 20_000);
  const reader = {
    ...some!,
    prompt,
    comes: 0,
    pauses: 0,
    abortsAfter: undefined,
    maxTokens: 9,
    stopsAfter: 9,
  };
  const [given] = await Promise.all([read(device, scheduler, 0, reader), device.settle()]);
  expect(given).toBe(9);
  expect(device.mostRowsInFlight).toBe(DEPTH * device.promptRows);
});
