import { expect } from "vitest";
import { ResonantError } from "../../common/errors.ts";
import { mulberry32 } from "../gpu.ts";
import type { Random } from "./mutate.ts";

/** Seconds for each target; undefined: the fixed rounds of `npm test`. */
const SECONDS = process.env.FUZZ_SECONDS === undefined ? undefined : Number(process.env.FUZZ_SECONDS);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/**
 * Gives a reader changed inputs, each by a seed of its own. It must accept them or refuse them with an error of this project;
 * anything else fails with the seed, which alone repeats it: `FUZZ_SEED=… FUZZ_SECONDS=0`.
 * @param rounds inputs without `FUZZ_SECONDS`
 */
export async function fuzz(rounds: number, read: (random: Random) => Promise<unknown>): Promise<void> {
  const until = performance.now() + 1000 * (SECONDS ?? 0);
  let refused = 0;
  for (
    let round = 0;
    SECONDS === undefined ? round < rounds : round === 0 || performance.now() < until;
    round++
  ) {
    const seed = SEED + round;
    try {
      await read(mulberry32(seed));
    } catch (error) {
      if (!(error instanceof ResonantError)) {
        expect.fail(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`);
      }
      refused++;
    }
  }
  // A target that refuses nothing or everything would show nothing.
  if (SECONDS !== 0) expect(refused).toBeGreaterThan(0);
}
