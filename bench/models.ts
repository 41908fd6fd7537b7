import { decoderTensors } from "../engine/families/load-decoder.ts";
import { relativeError } from "../engine/goldens.ts";
import { type WeightFormat, weightFormats } from "../kernels/matrix.ts";
import type { Bench, BenchCase } from "./harness/case.ts";
import { less, more, type Row } from "./harness/row.ts";
import { divided } from "./harness/statistics.ts";
import { nearest } from "./kernels/kernel-case.ts";
import type { ModelFigures, ModelRequest } from "./model-run.ts";
import { type GeometryName, geometries, tinyGeometries } from "./random-model.ts";
import { stepCost } from "./step-cost.ts";

/**
 * Largest relative error of a format's logits, compared with f32; unrelated logits would give about 1.4. The files hold f16
 * weights, so f16 loses nothing. The errors of 8 and 4 bits add up over the layers (0.04 and 0.48 for 22 random layers).
 */
const TOLERANCES: Readonly<Record<WeightFormat, number>> = { f32: 0, f16: 1e-6, q8: 0.1, q4: 0.8 };

/** Chooses how much to measure of a geometry: less if it would take minutes. */
function requestOf(
  name: GeometryName,
  format: WeightFormat,
  { gpu, quick }: Bench,
): Omit<ModelRequest, "model"> {
  if (gpu.kind !== "software") {
    return { format, prompts: [512, 32], tokens: quick ? 32 : 128, rounds: quick ? 1 : 3, replay: true };
  }
  // On a software adapter a prompt of a large model takes half a minute, and a replay as long again.
  if (name !== "pythia-160m") return { format, prompts: [32], tokens: 4, rounds: 1, replay: false };
  const prompts = quick ? [32] : format === "f32" ? [32, 512] : [32];
  return { format, prompts, tokens: quick ? 8 : 16, rounds: 1, replay: true };
}

/** Measures a geometry in several formats; compares each with f32 if f32 is measured, too. */
function geometryCases(name: GeometryName, formats: readonly WeightFormat[]): BenchCase[] {
  let f32: ModelFigures | undefined;
  return formats.map((format) => ({
    group: "models",
    name: `${name} ${format}`,
    onlyNamed: name in tinyGeometries,
    open(bench) {
      let figures: ModelFigures | undefined;
      return {
        // Loading takes most of the time, so the same run is checked and timed.
        async check() {
          const request = requestOf(name, format, bench);
          const replay = request.replay || (format !== "f32" && !f32);
          figures = await bench.apart({ ...request, replay, model: await bench.folder(name) });
          if (format === "f32") f32 = figures;
          else if (f32) assertAlike(f32, figures);
        },
        async measure() {
          return figures ? rowsOf(name, figures, bench) : [];
        },
      };
    },
  }));
}

function assertAlike(f32: ModelFigures, { format, logits }: ModelFigures): void {
  const error = relativeError(logits, f32.logits);
  if (error <= TOLERANCES[format]) return;
  throw new Error(
    `${format}: the logits differ from those of f32 by ${error}, more than ${TOLERANCES[format]}`,
  );
}

function rowsOf(name: GeometryName, figures: ModelFigures, bench: Bench): Row[] {
  const { format } = figures;
  const { prompts, tokens } = requestOf(name, format, bench);
  const of = (what: string): string => `${name} ${format}: ${what}`;
  const { family, config } = geometries[name];
  const parsed = family.parse(config, "config.json");
  const shapes = decoderTensors(family, parsed);
  const { embed, head } = family.names;
  const { bytes, flops } = stepCost(shapes, parsed.tied ? [] : [embed], format);
  const { flops: layers } = stepCost(shapes, [embed, head], format);
  const dispatches = figures.dispatchesPerToken;
  const seconds = figures.decode.median / 1000;
  const decoding = nearest({ bytes, flops, dispatches }, seconds, bench.ceilings);
  const { host, gpu } = figures.spent;
  return [
    less(of("load"), figures.seconds, "s"),
    ...prompts.map((length, i) => {
      const time = figures.prompts[i]!;
      // Only the last token of a prompt has logits.
      const cost = { bytes: bytes / length, flops: layers + (flops - layers) / length, dispatches: 0 };
      const share = nearest(cost, time.median / 1000, bench.ceilings);
      return more(of(`prompt of ${length}`), divided(1000, time), "tokens/s", share);
    }),
    more(of(`decode of ${tokens}`), divided(1000, figures.decode), "tokens/s", {
      ...decoding,
      bytesPerSecond: bytes / seconds,
    }),
    more(of(`decode of ${tokens}, sampled`), divided(1000, figures.sampled), "tokens/s", {
      ...nearest({ bytes, flops, dispatches }, figures.sampled.median / 1000, bench.ceilings),
      bytesPerSecond: (1000 * bytes) / figures.sampled.median,
    }),
    ...(gpu === undefined ? [] : [less(of("GPU, a token"), gpu, "ms", { timed: "gpu" })]),
    less(of("JavaScript that records and submits, a token"), 1000 * host, "µs", { timed: "host" }),
    less(of("dispatches a token"), dispatches, ""),
    less(of("GPU memory"), figures.gpuBytes, "bytes"),
    less(of("GPU memory gained by decoding"), figures.gpuBytesAfter - figures.gpuBytes, "bytes"),
    less(of("resident memory, most while loading"), figures.residentPeak, "bytes"),
  ];
}

/** Random weights at the sizes of well-known models, in each weight format. */
export const modelCases = (quick: boolean): readonly BenchCase[] =>
  quick
    ? [
        ...geometryCases("pythia-160m", ["f32", "q4"]),
        ...(Object.keys(tinyGeometries) as GeometryName[]).flatMap((name) =>
          geometryCases(name, weightFormats),
        ),
      ]
    : (Object.keys(geometries) as GeometryName[]).flatMap((name) => geometryCases(name, weightFormats));
