import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeChatModel } from "../chat-models.ts";
import { OUTCOMES } from "./ledger.ts";
import { told } from "./report.ts";
import { growth, type SoakReport, soak, tenths } from "./soak.ts";

// A short run among the other tests; `npm run soak` makes a long run and prints its figures.
const { SOAK_MINUTES, SOAK_CLIENTS = 12, SOAK_SEED = 1, SOAK_MODEL } = process.env;
const long = SOAK_MINUTES !== undefined;
const minutes = Number(SOAK_MINUTES ?? 0.2);

let folder: string;
let report: SoakReport;

beforeAll(
  async () => {
    folder = await mkdtemp(join(tmpdir(), "resonant-soak-"));
    if (!SOAK_MODEL) await writeChatModel(folder);
    const options = {
      minutes,
      warmUp: long ? 60 : 1,
      clients: Number(SOAK_CLIENTS),
      seed: Number(SOAK_SEED),
    };
    report = await soak({ ...options, model: SOAK_MODEL ?? folder });
    if (long) console.log(told(report));
  },
  (minutes + 8) * 60_000,
);

afterAll(() => rm(folder, { recursive: true }));

describe(`${SOAK_CLIENTS} clients that ask for everything at once, for ${minutes} minutes`, () => {
  it("get the right answer or refusal for every request, unless they disconnect themselves", () => {
    const { total, faults } = report.ledger;
    expect(faults).toEqual([]);
    expect([total.lost, total.wrong]).toEqual([0, 0]);
    expect(OUTCOMES.reduce((sum, outcome) => sum + total[outcome], 0)).toBe(total.sent);
    for (const outcome of ["answered", "refused", "cancelled"] as const)
      expect(total[outcome]).toBeGreaterThan(0);
    expect(Math.min(...report.flows.values())).toBeGreaterThan(0);
  });

  it("leave a server with free resources, the same answers as before and no warnings, which stops", () => {
    expect(report.taken).toEqual({ num_requests_running: 0, num_requests_waiting: 0, state_bytes: 0 });
    expect(report.changed).toEqual([]);
    expect(report.complaints).toEqual([]);
    expect(report.exitCode).toBe(0);
  });

  if (long) {
    it("increase its memory by less than 5 %, in the process and on the GPU", () => {
      const { samples } = report;
      expect(growth(tenths(samples, "resident"))).toBeLessThan(1.05);
      // The mean of GPU memory varies with the running searches, which free their memory.
      const least = (values: readonly number[]): number => Math.min(...values);
      expect(growth(tenths(samples, "gpu", least))).toBeLessThan(1.05);
    });
  }
});
