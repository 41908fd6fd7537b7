import { describe, expect, it } from "vitest";
import { poisoned, randomFloats, runDispatches, testGpu, untouched } from "../../test/gpu.ts";
import { LAGS, lagAlignment, readScore, SIMILARITY_STEP } from "./lag-alignment.ts";
import { lagAlignmentReference } from "./reference.ts";

const gpu = await testGpu();
const weights = [
  [1, 0],
  [0.5, 0.5],
] as const;

interface Cue {
  readonly first: number;
  readonly ends: readonly number[];
  readonly lags: number;
}

/** Scores `[cues, modes, positions]` of positions from `first` on; `cosines [rows, segments, 2]` from the context's start. */
async function run(
  cosines: Float32Array,
  cues: readonly Cue[],
  { first, positions, ring }: { first: number; positions: number; ring: number },
): Promise<Uint32Array[]> {
  const ends = cues.flatMap((cue) => [...cue.ends]);
  const segments = ends.length;
  const rows = cosines.length / (2 * segments);
  const held = new Float32Array(ring * segments * 2).fill(Number.NaN);
  for (let row = Math.max(0, first - LAGS); row < Math.min(rows, first + ring - LAGS); row++) {
    held.set(cosines.subarray(row * segments * 2, (row + 1) * segments * 2), (row % ring) * segments * 2);
  }
  const stride = positions + 3;
  const columns = cues.length * weights.length;
  const scores = poisoned(gpu, "scores", columns * stride + 64);
  const shape = { cues: cues.length, modes: weights.length, segments, ring };
  const dispatch = lagAlignment(gpu, shape, {
    positions: gpu.uniform("positions", Uint32Array.of(positions, first % ring, first, stride)),
    cosines: gpu.upload("cosines", held),
    cues: gpu.upload(
      "cues",
      Uint32Array.from(cues.flatMap((cue) => [cue.first, cue.ends.length, cue.lags, 0])),
    ),
    ends: gpu.upload("ends", Uint32Array.from(ends)),
    modes: gpu.upload("modes", Float32Array.from(weights.flat())),
    scores,
  });
  await runDispatches(gpu, [dispatch], { rows: positions, length: positions });
  const values = new Uint32Array(await gpu.read(scores));
  return Array.from({ length: columns }, (_, column) => {
    const own = values.subarray(column * stride, (column + 1) * stride);
    expect(untouched(own, positions)).toBe(true);
    return own.subarray(0, positions);
  });
}

const cues: Cue[] = [
  { first: 0, ends: [3, 7, 11, 14], lags: LAGS },
  { first: 4, ends: [0], lags: 0 },
  { first: 5, ends: [1, 2], lags: 3 },
];
const segments = 7;

describe("alignment with lags", () => {
  it.each([
    { first: 0, positions: 1, ring: 40 },
    { first: 0, positions: 70, ring: 100 },
    { first: 130, positions: 67, ring: 93 },
  ])("agrees with trying every lag: %o", async (where) => {
    const rows = where.first + where.positions + 14 + LAGS;
    const cosines = randomFloats(where.first, rows * segments * 2);
    const found = await run(cosines, cues, where);
    found.forEach((column, index) => {
      const cue = cues[Math.floor(index / weights.length)]!;
      const [pvm, plm] = weights[index % weights.length]!;
      column.forEach((score, p) => {
        const cosine = (i: number, lag: number): number => {
          const row = where.first + p + cue.ends[i]! + lag;
          const at = (row * segments + cue.first + i) * 2;
          return row < 0 ? 0 : pvm * cosines[at]! + plm * cosines[at + 1]!;
        };
        const expected = lagAlignmentReference(cue.ends.length, cue.lags, cosine);
        const { similarity, lag } = readScore(score);
        expect(Math.abs(similarity - expected.similarity)).toBeLessThan(SIMILARITY_STEP);
        expect(lag).toBe(expected.lag);
      });
    });
  });

  it("gives 1 without a lag where every segment is in its place, and finds those that are not", async () => {
    const cue: Cue = { first: 0, ends: [3, 7, 11, 15], lags: 4 };
    const cosines = new Float32Array(60 * 4 * 2);
    const put = (row: number, segment: number): void => {
      cosines.fill(1, (row * 4 + segment) * 2, (row * 4 + segment + 1) * 2);
    };
    for (const [i, end] of cue.ends.entries()) {
      put(5 + end, i);
      put(30 + end + (i < 2 ? 0 : 3), i);
    }
    const [column] = await run(cosines, [cue], { first: 0, positions: 40, ring: 60 });
    expect(readScore(column![5]!)).toEqual({ similarity: 1, lag: 0 });
    expect(readScore(column![30]!).lag).toBe(3);
    expect(readScore(column![30]!).similarity).toBeCloseTo(1 - (3 * 0.1) / 4, 5);
    expect(Math.max(...column!)).toBe(column![5]);
  });
});
