import { describe, expect, it } from "vitest";
import { below, type Random, seeded } from "../../bench/random.ts";
import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import { emptyPlace, type Place } from "../state/residence.ts";
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
async function read(
  device: SimulatedDevice,
  scheduler: Scheduler,
  place: Place,
  reader: Reader,
): Promise<number> {
  const { prompt, client, seed, maxTokens, runAhead, pauses, stopsAfter, abortsAfter } = reader;
  if (reader.comes > 0) await device.ticks(reader.comes);
  const cursor: Cursor = { place, position: 0, pending: undefined };
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
    throw new Error(`sequence ${seed} was given other tokens than alone`);
  await place.saved.arrival;
  const { hash, fed, pending } = device.stateOf(place);
  if (hash !== alone.state.hash || fed !== alone.state.fed || pending !== alone.state.pending) {
    throw new Error(`sequence ${seed} is left elsewhere than after its last token`);
  }
  if (cursor.position !== fed || cursor.pending !== pending) {
    throw new Error(`sequence ${seed} is told that it stands elsewhere than its state`);
  }
  device.close(place);
  return given.length;
}

/** All readers read. */
async function readAll(
  device: SimulatedDevice,
  scheduler: Scheduler,
  readers: readonly Reader[],
  places: readonly Place[],
) {
  const reading = Promise.all(readers.map((reader, i) => read(device, scheduler, places[i]!, reader)));
  await Promise.all([reading, device.settle()]);
  return reading;
}

const SIZES = { promptRows: 512, maxSteps: 32, prefixRows: 64 } as const;

it.each([
  ["a slot for each", { slots: 10_000 }],
  ["16 slots, and most of the others parked on the host", { slots: 16, parkedRows: 100 }],
])(
  "ten thousand sequences of 40 clients end as they do alone, whoever comes, leaves or is slow: %s",
  async (_, sizes) => {
    const count = 10_000;
    const readers = makeReaders(1, count);
    const places = readers.map(emptyPlace);
    const device = new SimulatedDevice({ ...SIZES, ...sizes });
    const scheduler = new Scheduler(device, device);
    const given = await readAll(device, scheduler, readers, places);

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
    expect(device.room).toBe(sizes.slots);

    // Two turns are in flight at most.
    expect(device.mostRunsInFlight).toBeLessThanOrEqual(DEPTH + 1); // a reader that leaves may have steps taken again
    expect(device.mostRowsInFlight).toBeLessThanOrEqual(DEPTH * device.promptRows);

    const prompts = readers.reduce((sum, { prompt }) => sum + prompt.length, 0);
    if (sizes.slots === count) {
      // Nobody was moved, and prompts that are the same, or begin alike, were not fed again.
      expect(scheduler.stats().moves).toBe(0);
      expect(device.fedTokens).toBeLessThan(0.8 * prompts);
      expect(Math.max(...device.runSizes)).toBeGreaterThan(100);
    } else {
      expect(scheduler.stats().moves).toBeGreaterThan(100);
      expect(device.fedTokens).toBeLessThan(prompts);
      expect(Math.max(...device.runSizes)).toBe(16);
    }
  },
);

describe("where more wait than there are slots", () => {
  const plain = (i: number, client: number, maxTokens: number): Reader => ({
    prompt: [i + 1, client + 1, 7],
    client,
    seed: i,
    maxTokens,
    runAhead: 8,
    comes: 0,
    pauses: 0,
    stopsAfter: maxTokens,
    abortsAfter: undefined,
  });

  /** Tokens of each client when one of them has ended. */
  function countTokens(
    device: SimulatedDevice,
    readers: readonly Reader[],
    places: readonly Place[],
  ): Map<number, number> {
    const clients = new Map(places.map((place, i) => [place, readers[i]!.client]));
    const drawn = new Map<number, number>();
    device.onRun = (own, steps) => {
      for (const place of own) {
        const client = clients.get(place)!;
        drawn.set(client, (drawn.get(client) ?? 0) + steps);
      }
    };
    return drawn;
  }

  it("clients get the same number of tokens, however many sequences each has", async () => {
    // One client has 400 sequences, the others have 10 each.
    const readers = Array.from({ length: 790 }, (_, i) => plain(i, i < 400 ? 0 : 1 + (i % 39), 400));
    const places = readers.map(emptyPlace);
    const device = new SimulatedDevice({ ...SIZES, slots: 16 });
    const drawn = countTokens(device, readers, places);
    const scheduler = new Scheduler(device, device);
    const controller = new AbortController();
    const reading = readers.map(async (reader, i) => {
      const cursor: Cursor = { place: places[i]!, position: 0, pending: undefined };
      const sampling = { ...SAMPLING, seed: reader.seed };
      const options = { sampling, measure: false, maxTokens: 400, runAhead: 8, client: reader.client };
      try {
        for await (const _ of scheduler.decode(cursor, reader.prompt, {
          ...options,
          signal: controller.signal,
        }));
      } catch {}
    });
    void device.ticks(500).then(() => controller.abort("enough"));
    await Promise.all([device.settle(), ...reading]);
    const each = [...drawn.values()];
    expect(each).toHaveLength(40);
    const sum = each.reduce((all, tokens) => all + tokens, 0);
    const jain = sum ** 2 / (each.length * each.reduce((all, tokens) => all + tokens ** 2, 0));
    expect(sum).toBeGreaterThan(10_000);
    expect(jain).toBeGreaterThanOrEqual(0.98);
  });

  it("a newcomer has its first token within three turns, whatever others have queued", async () => {
    const readers = Array.from({ length: 1000 }, (_, i) => plain(i, i % 3, 100));
    const places = readers.map(emptyPlace);
    const device = new SimulatedDevice({ ...SIZES, slots: 16 });
    const scheduler = new Scheduler(device, device);
    const waits: number[] = [];
    const newcomers = [200, 400, 600].map(async (comes, i) => {
      await device.ticks(comes);
      const place = emptyPlace();
      const before = scheduler.stats().turns;
      const options = {
        sampling: { ...SAMPLING, seed: 1 },
        measure: false,
        maxTokens: 1,
        runAhead: 8,
        client: `new ${i}`,
      };
      for await (const _ of scheduler.decode(
        { place, position: 0, pending: undefined },
        [1, 2, 3],
        options,
      )) {
        waits.push(scheduler.stats().turns - before);
      }
      device.close(place);
    });
    await Promise.all([readAll(device, scheduler, readers, places), ...newcomers]);
    expect(waits).toHaveLength(3);
    // Two turns were in flight when it came; its own is the next, and one more may have been submitted since.
    expect(Math.max(...waits)).toBeLessThanOrEqual(3);
  });

  it("readers who do not read hold no slot, and miss nothing", async () => {
    const slow = Array.from({ length: 32 }, (_, i) => ({ ...plain(i, 0, 40), pauses: 1 }));
    const quick = Array.from({ length: 64 }, (_, i) => plain(100 + i, 1, 40));
    const readers = [...slow, ...quick];
    const device = new SimulatedDevice({ ...SIZES, slots: 16, parkedRows: 8 });
    const given = await readAll(device, new Scheduler(device, device), readers, readers.map(emptyPlace));
    expect(new Set(given)).toEqual(new Set([40]));
    expect(device.parkedPlaces.length).toBeGreaterThan(32);
  });

  it("under attention nobody is moved, two clients never have all slots, and who does not read is computed to its end", async () => {
    const readers = Array.from({ length: 300 }, (_, i) => ({
      ...plain(i, i % 3, 20),
      pauses: i % 5 === 0 ? 3 : 0,
    }));
    const places = readers.map(emptyPlace);
    const device = new SimulatedDevice({ ...SIZES, slots: 16, prefixRows: 0, portable: false });
    const clients = new Map(places.map((place, i) => [place, readers[i]!.client]));
    let most = 0;
    device.onRun = (own) => {
      const counts = new Map<number, number>();
      for (const place of own) counts.set(clients.get(place)!, (counts.get(clients.get(place)!) ?? 0) + 1);
      most = Math.max(most, ...counts.values());
    };
    const given = await readAll(device, new Scheduler(device, device), readers, places);
    expect(new Set(given)).toEqual(new Set([20]));
    expect(device.parkedPlaces).toEqual([]);
    expect(device.placed).toHaveLength(300);
    expect(most).toBeLessThanOrEqual(7);
  });
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
  const [given] = await Promise.all([read(device, scheduler, emptyPlace(), reader), device.settle()]);
  expect(given).toBe(9);
  expect(device.mostRowsInFlight).toBe(DEPTH * device.promptRows);
});
