import { afterEach, describe, expect, it, vi } from "vitest";
import { CHUNK } from "../../kernels/memory-scan/memory-scan.ts";
import { emptyPlace, type Place } from "../state/residence.ts";
import { EMPTY_STATE } from "../state/saved-states.ts";
import { type Decision, Policy, type PolicyOptions } from "./policy.ts";
import { Prefill, shareKey } from "./prefill.ts";
import { PrefixCache } from "./prefix-cache.ts";
import { type DecodeOptions, Sequence } from "./sequence.ts";
import { Tasks } from "./task.ts";

afterEach(() => vi.restoreAllMocks());

const MAX_STEPS = 32;
const policyOf = (options: Partial<PolicyOptions> = {}): Policy =>
  new Policy({
    slots: 1000,
    room: () => 1000,
    promptRows: 512,
    portable: true,
    prefixes: undefined,
    tasks: new Tasks(() => {}),
    ...options,
  });

/** The place of a stream that has had its slot from the start. */
const inSlot = (slot: number): Place => ({ ...emptyPlace(), slot });

const OPTIONS: DecodeOptions = {
  sampling: {
    temperature: 1,
    topK: 0,
    topP: 1,
    repetitionPenalty: 1,
    phaseTemperature: 0,
    seed: 1,
    choice: 0,
  },
  measure: false,
  maxTokens: 1000,
  runAhead: 8,
};

/** A prompt of its own: no two slots' begin alike. */
const ownPrompt = (slot: number, length: number): number[] =>
  Array.from({ length }, (_, i) => (i === 0 ? 1000 + slot : i));

function sequenceOf(
  slot: number,
  prompt: number | readonly number[],
  options: Partial<DecodeOptions> = {},
): Sequence {
  const tokens = typeof prompt === "number" ? ownPrompt(slot, prompt) : prompt;
  const cursor = { place: inSlot(slot), position: 0, pending: undefined };
  return new Sequence(cursor, tokens, { ...OPTIONS, ...options }, MAX_STEPS);
}

function joined(policy: Policy, ...args: Parameters<typeof sequenceOf>): Sequence {
  const sequence = sequenceOf(...args);
  policy.join(sequence);
  return sequence;
}

/** What a submitter does to sequences, without a device. */
function submit(decision: Decision): void {
  const take = (sequence: Sequence, position: number, steps: number): void =>
    sequence.submitted({ position, steps, results: new Promise(() => {}) }, EMPTY_STATE);
  if (decision.kind === "step") {
    for (const each of decision.sequences) take(each, each.position, decision.steps);
  } else if (decision.kind === "start") {
    const last = decision.position + decision.tokens.length - 1;
    for (const each of decision.prefill.sequences) take(each, last, 1);
  }
}

/** A decision in few words, sequences named by their slots. */
function inWords(decision: Exclude<Decision, { kind: "move" | "task" }>): string {
  const { kind } = decision;
  const slots = (kind === "step" ? decision.sequences : [...decision.prefill.sequences]).map(
    ({ slot }) => slot,
  );
  switch (kind) {
    case "feed":
    case "start":
      return `${kind} ${slots} at ${decision.position}: ${decision.tokens.length}`;
    case "step":
      return `step ${slots}: ${decision.steps}`;
    case "inherit":
      return `inherit ${decision.from.slot} ${slots}`;
    default:
      return `${kind} ${slots}: row ${decision.row}`;
  }
}

/** Decides a turn and submits it, but for what is refused. Who gets a slot is left out. */
function turn(policy: Policy, refuses: (decision: Decision) => boolean = () => false): string[] {
  const words: string[] = [];
  for (const decision of policy.turn()) {
    if (decision.kind === "move" || decision.kind === "task") continue;
    words.push(inWords(decision));
    if (refuses(decision)) policy.drop(decision);
    else submit(decision);
  }
  return words;
}

/** All runs of a sequence come and are read. */
function readAll(policy: Policy, ...sequences: Sequence[]): void {
  for (const sequence of sequences) while (policy.finishRun(sequence));
}

describe("a turn", () => {
  it("feeds prompts, one client's after another's, as far as its rows go, and steps all that are ready", () => {
    const policy = policyOf();
    joined(policy, 5, 20, { client: "a" });
    joined(policy, 4, 20, { client: "a" });
    joined(policy, 3, 30, { client: "b" });
    joined(policy, 2, 100, { client: "c" });
    expect(policy.size).toBe(4);
    // 14 of 64 rows are left for the third, which can only be cut at whole chunks.
    expect(turn(policy)).toEqual(["start 5 at 0: 20", "start 3 at 0: 30", "step 3,5: 1"]);
    expect(turn(policy)).toEqual(["feed 2 at 0: 64"]);
    expect(policy.size).toBe(4);
  });

  it("has one step while prompts wait, and as many as take its time when none does", () => {
    const policy = policyOf();
    const sequence = joined(policy, 1, 1, { runAhead: 64 });
    const steps: number[] = [];
    for (let i = 0; i < 8; i++) {
      const last = turn(policy).at(-1)!;
      steps.push(Number(last.split(": ")[1]));
      readAll(policy, sequence);
    }
    expect(steps).toEqual([1, 2, 4, 8, 16, 32, 32, 32]); // what was never measured takes no time
    policy.measure({ rows: 0, steps: 32 }, 320);
    expect(turn(policy)).toEqual(["step 1: 10"]);
    readAll(policy, sequence);
    policy.measure({ rows: 0, steps: 10 }, 5000);
    expect(turn(policy)).toEqual(["step 1: 1"]);
    readAll(policy, sequence);
    policy.measure({ rows: 0, steps: 1 }, 10);
    joined(policy, 2, 200);
    expect(turn(policy)).toEqual(["feed 2 at 0: 64", "step 1: 1"]);
  });

  it("feeds as many rows as take its time, as far as full turns can tell", () => {
    const policy = policyOf({ promptRows: 300 });
    const sequence = joined(policy, 1, 100_000);
    const rows = (): number => Number(turn(policy)[0]!.split(": ")[1]);
    expect(rows()).toBe(CHUNK);
    policy.measure({ rows: CHUNK, steps: 0 }, 1);
    expect(rows()).toBe(2 * CHUNK); // twice as many at most
    policy.measure({ rows: 2 * CHUNK, steps: 0 }, 0);
    expect(rows()).toBe(4 * CHUNK);
    policy.measure({ rows: 4 * CHUNK, steps: 0 }, 0);
    expect(rows()).toBe(4 * CHUNK); // whole chunks, and no more than the device takes
    policy.measure({ rows: CHUNK, steps: 4 }, 30);
    expect(rows()).toBe(4 * CHUNK); // a turn that was not full tells nothing
    policy.measure({ rows: 4 * CHUNK, steps: 4 }, 190);
    expect(rows()).toBe(2 * CHUNK);
    policy.measure({ rows: 2 * CHUNK, steps: 0 }, 10_000);
    expect(rows()).toBe(CHUNK);
    policy.leave(sequence);
    expect(turn(policy)).toEqual([]);
  });

  it("has no run longer than what any of its sequences has to draw", () => {
    const policy = policyOf();
    const sequences = [joined(policy, 1, 1, { maxTokens: 100 }), joined(policy, 2, 1, { maxTokens: 7 })];
    const steps: string[] = [];
    for (let i = 0; i < 4; i++) {
      steps.push(turn(policy).at(-1)!);
      readAll(policy, ...sequences);
    }
    expect(steps).toEqual(["step 1,2: 1", "step 1,2: 2", "step 1,2: 3", "step 1: 8"]);
  });

  it("goes on without what could not be submitted", () => {
    const policy = policyOf();
    const sequences = [1, 2, 3].map((slot) => joined(policy, slot, 30, { client: slot }));
    expect(
      turn(
        policy,
        ({ kind, ...more }) => kind === "start" && "prefill" in more && more.prefill.first === sequences[0],
      ),
    ).toEqual(["start 1 at 0: 30", "start 2 at 0: 30", "start 3 at 0: 30", "step 2,3: 1"]);
    expect(policy.size).toBe(2);
    readAll(policy, ...sequences);
    expect(turn(policy, ({ kind }) => kind === "step")).toEqual(["step 2,3: 2"]);
    expect(policy.size).toBe(0);
    expect(turn(policy)).toEqual([]);
  });
});

describe("a reader", () => {
  it("is two runs behind at most: then turns wait for it, or leave it out until it reads", () => {
    const policy = policyOf();
    const slow = joined(policy, 1, 1);
    const other = joined(policy, 2, 1);
    expect(turn(policy)).toEqual(["start 1 at 0: 1", "start 2 at 0: 1", "step 1,2: 1"]);
    expect(policy.waitsForReaders).toBe(true);
    readAll(policy, other);
    expect(policy.waitsForReaders).toBe(true);
    expect(policy.unread()).toEqual([]); // nothing has come
    const [run] = slow.runs;
    run!.arrived = true;
    expect(policy.unread()).toEqual([[slow, run]]);
    policy.stall(slow, run!);
    expect(policy.waitsForReaders).toBe(false);
    expect(turn(policy)).toEqual(["step 2: 2"]);
    readAll(policy, other);
    expect(turn(policy)).toEqual(["step 2: 4"]);
    policy.finishRun(slow);
    readAll(policy, other);
    expect(turn(policy)).toEqual(["step 1,2: 2"]);
  });

  it("that has read in time is not left out", () => {
    const policy = policyOf();
    const sequence = joined(policy, 1, 1);
    turn(policy);
    const [run] = sequence.runs;
    policy.finishRun(sequence);
    policy.stall(sequence, run!);
    expect(turn(policy)).toEqual(["step 1: 2"]);
  });

  it("that wants every token before the next is computed gets one step at a time", () => {
    const policy = policyOf();
    const sequence = joined(policy, 1, 1, { runAhead: 0 });
    expect(turn(policy)).toEqual(["start 1 at 0: 1"]);
    expect(policy.waitsForReaders).toBe(true);
    readAll(policy, sequence);
    expect(turn(policy)).toEqual(["step 1: 1"]);
    readAll(policy, sequence);
    expect(turn(policy)).toEqual(["step 1: 1"]);
  });

  it("that leaves is waited for no longer", () => {
    const policy = policyOf();
    const sequence = joined(policy, 1, 1);
    turn(policy);
    expect(policy.waitsForReaders).toBe(true);
    expect(policy.leave(sequence)).toBeUndefined();
    expect(policy.waitsForReaders).toBe(false);
    expect(turn(policy)).toEqual([]);
  });
});

describe("sequences with one prompt", () => {
  const prompt = ownPrompt(9, 100);

  it("have it fed once, unless client, logit bias or past differ", () => {
    const policy = policyOf();
    joined(policy, 1, prompt);
    joined(policy, 2, prompt);
    joined(policy, 3, prompt, { client: "other" });
    joined(policy, 4, prompt, { readoutScale: 1 });
    const resumed = new Sequence(
      { place: inSlot(5), position: 8, pending: undefined },
      prompt,
      OPTIONS,
      MAX_STEPS,
    );
    policy.join(resumed);
    joined(policy, 6, [...prompt.slice(0, -1), 5]);
    const started: string[] = [];
    for (let i = 0; i < 20; i++) started.push(...turn(policy).filter((words) => words.startsWith("start")));
    expect(started.map((words) => words.split(" ")[1]).sort()).toEqual(["1,2", "3", "4", "5", "6"]);
  });

  it("are told from others whose prompts have the same hash", () => {
    const hashed = (token: number): number => Math.imul(0x811c9dc5 ^ token, 0x01000193);
    const prompts = [
      [1, 5],
      [2, (5 ^ hashed(1) ^ hashed(2)) >>> 0],
    ] as const;
    const policy = policyOf();
    const sequences = prompts.flatMap((prompt, i) => [
      joined(policy, 2 * i, prompt),
      joined(policy, 2 * i + 1, prompt),
    ]);
    expect(new Set(sequences.map(shareKey)).size).toBe(1);
    expect(turn(policy)).toEqual([
      "start 0,1 at 0: 2",
      "start 2 at 0: 2", // no second prompt is found by the same key
      "start 3 at 0: 2",
      "step 0,1,2,3: 1",
    ]);
  });

  it("have it fed for each where states cannot be copied", () => {
    const policy = policyOf({ portable: false });
    joined(policy, 1, 10);
    joined(policy, 2, ownPrompt(1, 10));
    expect(turn(policy)).toEqual(["start 1 at 0: 10", "start 2 at 0: 10", "step 1,2: 1"]);
  });

  it("go on where the one that was fed leaves, from its state if there is any yet", () => {
    const policy = policyOf();
    const [first, second, third] = [1, 2, 3].map((slot) => joined(policy, slot, prompt));
    expect(policy.leave(first!)).toBeUndefined();
    expect(turn(policy)).toEqual(["feed 2,3 at 0: 64"]);
    expect(inWords(policy.leave(second!) as Extract<Decision, { kind: "inherit" }>)).toBe("inherit 2 3");
    expect(turn(policy)).toEqual(["start 3 at 64: 36", "step 3: 1"]);
    policy.leave(third!);
    expect(policy.size).toBe(0);
  });

  it("all fail together when it cannot be submitted", () => {
    const policy = policyOf();
    for (const slot of [1, 2, 3]) joined(policy, slot, prompt);
    joined(policy, 4, 10);
    expect(turn(policy, ({ kind }) => kind === "feed")).toEqual([
      "feed 1,2,3 at 0: 64",
      "start 4 at 0: 10",
      "step 4: 1",
    ]);
    expect(policy.size).toBe(1);
  });
});

it("starts a prompt from the longest prefix that is kept, and keeps more on its way", () => {
  const prefixes = new PrefixCache(8);
  const policy = policyOf({ prefixes });
  const beginning = ownPrompt(1, 3 * CHUNK);
  joined(policy, 1, [...beginning, 7]);
  const turns = (): string[] =>
    [1, 2, 3, 4].flatMap(() => turn(policy)).filter((words) => !words.startsWith("step"));
  expect(turns()).toEqual([
    "feed 1 at 0: 64",
    "keep 1: row 0",
    "feed 1 at 64: 64",
    "keep 1: row 1",
    "feed 1 at 128: 64",
    "keep 1: row 2",
    "start 1 at 192: 1",
  ]);
  joined(policy, 2, [...beginning.slice(0, 2 * CHUNK), 8]);
  expect(turns()).toEqual(["reuse 2: row 1", "start 2 at 128: 1"]);
  joined(policy, 3, [...beginning, 9]);
  expect(turn(policy, ({ kind }) => kind === "reuse")[0]).toBe("reuse 3: row 2");
  expect(prefixes.size).toBe(3);
  joined(policy, 4, [...beginning, 9], { client: "other" });
  expect(turn(policy)[0]).toBe("feed 4 at 0: 64");
});

it("looks at no more in a turn, however many sequences wait", () => {
  let looks = 0;
  for (const [prototype, name] of [
    [Prefill.prototype, "left"],
    [Prefill.prototype, "first"],
    [Sequence.prototype, "due"],
    [Sequence.prototype, "ready"],
  ] as const) {
    const get = Object.getOwnPropertyDescriptor(prototype, name)!.get!;
    vi.spyOn(prototype as { left: unknown }, name as "left", "get").mockImplementation(function (
      this: unknown,
    ) {
      looks++;
      return get.call(this) as never;
    });
  }
  /** Looks at prompts and sequences in the worst of 200 turns. */
  const worst = (waiting: number): number => {
    const policy = policyOf();
    const sequences = Array.from({ length: waiting }, (_, i) =>
      joined(policy, i, 1 + ((i * 7919) % 50), { client: i % 20, maxTokens: 2 }),
    );
    let most = 0;
    for (let i = 0; i < 200; i++) {
      looks = 0;
      for (const decision of policy.turn()) {
        submit(decision);
        if (decision.kind === "step") readAll(policy, ...decision.sequences);
      }
      for (const sequence of sequences.splice(0, 1)) policy.leave(sequence);
      most = Math.max(most, looks);
    }
    return most;
  };
  const few = worst(2000);
  expect(few).toBeGreaterThan(20);
  expect(worst(20_000)).toBeLessThan(2 * few); // logarithms
});
