import { describe, expect, it } from "vitest";
import { mulberry32, randomFloats } from "../../test/gpu.ts";
import { openGolden, readJson } from "../../test/models.ts";
import { Curvature, type CurvatureMetrics, phaseCurvature } from "./curvature.ts";

/** By the reference's names. */
interface GoldenCase {
  readonly needle_pos: number;
  readonly retrieval_start: number;
  readonly metrics: {
    readonly curv_peak_at_needle: number;
    readonly curv_peak_before_needle: number;
    readonly curv_traj_len: number;
    readonly curv_peak_idx: number;
    readonly curv_peak_offset_from_retrieval: number;
    readonly curv_peak_at_needle_binary: 0 | 1;
    readonly curv_pre_peak_fraction: number;
    readonly curv_entropy: number;
  };
}

const renamed = (metrics: GoldenCase["metrics"]): CurvatureMetrics => ({
  peakAtNeedle: metrics.curv_peak_at_needle,
  peakBeforeRetrieval: metrics.curv_peak_before_needle,
  tokens: metrics.curv_traj_len,
  peakIndex: metrics.curv_peak_idx,
  peakOffset: metrics.curv_peak_offset_from_retrieval,
  peakIsAtNeedle: metrics.curv_peak_at_needle_binary === 1,
  fractionBeforeRetrieval: metrics.curv_pre_peak_fraction,
  entropy: metrics.curv_entropy,
});

const golden = await openGolden("curvature");
const cases = (readJson("goldens/curvature.json") as readonly GoldenCase[]).map(
  ({ needle_pos, retrieval_start, metrics }) => [needle_pos, retrieval_start, renamed(metrics)] as const,
);

/** The definition, with all of c at hand; for three tokens or more. */
function reference(z: Float32Array, size: number, needle: number, retrieval: number): CurvatureMetrics {
  const length = z.length / size;
  const c = Array.from({ length: length - 2 }, (_, i) => {
    const bend = (d: number) => z[(i + 2) * size + d]! - 2 * z[(i + 1) * size + d]! + z[i * size + d]!;
    return Math.hypot(...Array.from({ length: size }, (_, d) => bend(d)));
  });
  const indexOf = (p: number): number => Math.min(Math.max(p, 1), length - 2) - 1;
  const [n, r] = [indexOf(needle), indexOf(retrieval)];
  const [least, most] = [Math.min(...c), Math.max(...c)];
  const scaled = c.map((value) => (value - least) / (most - least + 1e-8));
  const sum = c.reduce((a, b) => a + b);
  const peak = c.indexOf(most);
  return {
    peakAtNeedle: Math.max(...scaled.slice(Math.max(0, n - 4), n + 5)) / (Math.max(...scaled) + 1e-8),
    peakBeforeRetrieval: Math.max(0, ...scaled.slice(0, r)),
    tokens: length,
    peakIndex: peak,
    peakOffset: peak - r,
    peakIsAtNeedle: Math.abs(peak - n) <= 4,
    fractionBeforeRetrieval: c.slice(0, r).reduce((a, b) => a + b, 0) / sum,
    entropy: c.reduce((all, value) => all - (value / sum) * Math.log(value / sum), 0) / Math.log(length - 2),
  };
}

const close = (metrics: CurvatureMetrics, digits: number) =>
  Object.fromEntries(
    Object.entries(metrics).map(([name, value]) => [
      name,
      typeof value === "number" ? expect.closeTo(value, digits) : value,
    ]),
  );

describe("phase curvature", () => {
  it.each(cases)(
    "is the reference's, needle at %i and retrieval from %i on",
    async (needle, retrieval, metrics) => {
      const [, size = 0] = golden.tensors.get("trajectory")!.shape;
      expect(Object.keys(metrics)).toHaveLength(8);
      expect(phaseCurvature(await golden.float32("trajectory"), { size, needle, retrieval })).toEqual(
        close(metrics, 6),
      );
    },
  );

  it("is its definition for any length and positions, past the end too, and whatever blocks it comes in", () => {
    const next = mulberry32(1);
    for (let seed = 0; seed < 200; seed++) {
      const size = 1 + Math.floor(next() * 6);
      const length = 4 + Math.floor(next() * 30);
      const [needle, retrieval] = [Math.floor(next() * (length + 3)), Math.floor(next() * (length + 3))];
      const z = randomFloats(seed, length * size);
      const whole = phaseCurvature(z, { size, needle, retrieval });
      expect(whole).toEqual(close(reference(z, size, needle, retrieval), 9));
      const blocks = new Curvature({ size, needle, retrieval });
      for (let first = 0; first < length; ) {
        const rows = 1 + Math.floor(next() * 5);
        blocks.add(z.subarray(first * size, (first + rows) * size));
        first += rows;
      }
      expect(blocks.metrics()).toEqual(whole);
    }
  });

  it("is not there in fewer than three tokens, and has no shares where nothing bends", () => {
    for (const length of [0, 1, 2]) {
      const { tokens, ...rest } = phaseCurvature(randomFloats(1, 2 * length), {
        size: 2,
        needle: 0,
        retrieval: 1,
      });
      expect(tokens).toBe(length);
      expect(Object.values(rest)).toEqual(Array.from({ length: 7 }, () => null));
    }
    expect(phaseCurvature(new Float32Array(5).fill(3), { size: 1, needle: 1, retrieval: 4 })).toEqual({
      peakAtNeedle: 0,
      peakBeforeRetrieval: 0,
      tokens: 5,
      peakIndex: 0,
      peakOffset: -2,
      peakIsAtNeedle: true,
      fractionBeforeRetrieval: null,
      entropy: null,
    });
    const three = phaseCurvature(Float32Array.of(0, 1, 0), { size: 1, needle: 0, retrieval: 2 });
    expect(three).toMatchObject({
      entropy: null,
      fractionBeforeRetrieval: 0,
      peakBeforeRetrieval: 0,
    });
  });

  it("of what is not finite is an error", () => {
    const bad = Float32Array.of(0, Number.NaN, 0);
    expect(() => phaseCurvature(bad, { size: 1, needle: 0, retrieval: 2 })).toThrow("not finite");
  });
});
