import { Model, type ModelFiles } from "../engine/model.ts";
import { defaultModelFolder, openModelFolder } from "../engine/platform/node/files.ts";
import type { RunSettings } from "../engine/runner/decode-run.ts";
import { nativeTensors } from "../engine/weights.ts";
import type { Bench, BenchCase } from "./harness/case.ts";
import { less, more, type Row } from "./harness/row.ts";
import { splitTime } from "./harness/split.ts";
import { divided, inTurns, summarize, timed, times } from "./harness/statistics.ts";
import { nearest } from "./kernels/kernel-case.ts";
import { assertReplayed, decode, feed, onStream } from "./model-run.ts";
import { promptOf, SETTINGS } from "./settings.ts";
import { stepCost } from "./step-cost.ts";

/** Tokens of the check that decoding and prompts agree. */
const CHECKED = { prompt: 100, tokens: 32 };

/** Decoding and prompts of the default model, with one stream. */
const running: BenchCase = {
  group: "native",
  name: "decode and prompt",
  async open(bench) {
    const model = await bench.model();
    const { gpu, runner, config } = model;
    const prompts = bench.quick ? [512] : [512, 2048];
    const tokens = bench.quick ? 32 : 128;
    /** Returns milliseconds per token, decoding from `position` on. */
    const decodeAt = (position: number, runAhead: number, settings?: RunSettings) => () =>
      onStream(model, async (stream) => {
        stream.position = position;
        stream.pending = 0;
        return timed(tokens, () => decode(model, stream, tokens, runAhead, settings));
      });
    const promptOfLength = (length: number) => () =>
      onStream(model, (stream) => feed(model, stream, promptOf(length, config.vocabulary)));
    const stepByStep = () =>
      onStream(model, ({ slot }) =>
        timed(256, () => {
          for (const [position, token] of promptOf(256, config.vocabulary).entries()) {
            runner.step(slot, position, token);
          }
          return gpu.device.queue.onSubmittedWorkDone();
        }),
      );
    return {
      async check() {
        const decoded = await onStream(model, async (stream) => {
          await feed(model, stream, promptOf(CHECKED.prompt, config.vocabulary));
          return [stream.pending ?? 0, ...(await decode(model, stream, CHECKED.tokens))];
        });
        await assertReplayed(model, CHECKED.prompt, decoded);
      },
      async measure() {
        const [ahead, waiting, sampled, early, late, stepped, ...scanned] = await inTurns(
          [
            decodeAt(0, 16),
            decodeAt(0, 0),
            decodeAt(0, 16, SETTINGS),
            decodeAt(1000, 16),
            decodeAt(1_000_000, 16),
            stepByStep,
            ...prompts.map(promptOfLength),
          ],
          bench.rounds,
        );
        const cost = {
          ...stepCost(nativeTensors(bench.native), ["embed.weight"], model.format),
          dispatches: runner.dispatchesPerToken,
        };
        const share = nearest(cost, ahead!.median / 1000, bench.ceilings);
        const rows: Row[] = [
          more("decode, running ahead", divided(1000, ahead!), "tokens/s", share),
          more("decode, waiting for each token", divided(1000, waiting!), "tokens/s"),
          more("decode, sampled with a top-k and a top-p", divided(1000, sampled!), "tokens/s"),
          ...scanned.map((summary, i) => more(`prompt of ${prompts[i]}`, divided(1000, summary), "tokens/s")),
          more("prompt of 256, token by token", divided(1000, stepped!), "tokens/s"),
          less("a token at position 1,000", early!, "ms"),
          less("a token at position 1,000,000", late!, "ms"),
        ];
        return [...rows, ...(await hostRows(bench, tokens))];
      },
    };
  },
};

/** Measures the host time, GPU time, dispatches and memory of decoding. */
async function hostRows(bench: Bench, tokens: number): Promise<Row[]> {
  const model = await bench.model();
  const { gpu, runner } = model;
  const host: number[] = [];
  const device: number[] = [];
  const before = gpu.bytes;
  for (let round = 0; round < bench.rounds; round++) {
    await onStream(model, async (stream) => {
      stream.pending = 0;
      const spent = await splitTime(gpu, runner, () => decode(model, stream, tokens, 16));
      host.push((1000 * spent.host) / tokens);
      if (spent.gpu !== undefined) device.push((1000 * spent.gpu) / tokens);
    });
  }
  const gained = gpu.bytes - before;
  const dispatches = runner.dispatchesPerToken;
  const perToken = summarize(host);
  return [
    less("JavaScript that records and submits, a token", perToken, "µs", { timed: "host" }),
    less("the same, a dispatch", times(1 / dispatches, perToken), "µs", { timed: "host" }),
    ...(device.length > 0 ? [less("GPU, a token", summarize(device), "µs", { timed: "gpu" })] : []),
    less("dispatches a token", dispatches, ""),
    less("dispatches a layer", await dispatchesPerLayer(bench), ""),
    less("GPU memory, room for 32 streams and prompts", before, "bytes"),
    less(`GPU memory gained by decoding ${bench.rounds * tokens} tokens`, gained, "bytes"),
  ];
}

/** Returns the dispatches per token that one layer adds: compares the default model with its first half. */
async function dispatchesPerLayer(bench: Bench): Promise<number> {
  const whole = (await bench.model()).runner.dispatchesPerToken;
  const layers = Math.max(1, Math.floor(bench.native.layers / 2));
  const files = await openModelFolder(await defaultModelFolder());
  try {
    const half = await Model.load(bench.gpu, beginningOf(files, layers), { slots: 1, prefixBytes: 0 });
    return (whole - half.runner.dispatchesPerToken) / (bench.native.layers - layers);
  } finally {
    await files.close();
  }
}

/** Returns a native model with only its first `layers` layers. */
function beginningOf(files: ModelFiles, layers: number): ModelFiles {
  const whole = files.config as Record<"phase" | "pvm", Record<"omega" | "phi", number[]>>;
  const cut = ({ omega, phi }: { omega: number[]; phi: number[] }) => ({
    omega: omega.slice(0, layers),
    phi: phi.slice(0, layers),
  });
  const config = {
    ...whole,
    num_layers: layers,
    phase: { ...whole.phase, ...cut(whole.phase) },
    pvm: { ...whole.pvm, ...cut(whole.pvm) },
  };
  const isKept = (name: string): boolean => Number(/^blocks\.(\d+)\./.exec(name)?.[1] ?? -1) < layers;
  const tensors = new Map([...files.tensors.tensors].filter(([name]) => isKept(name)));
  return { ...files, config, tensors: { ...files.tensors, tensors } };
}

/** Loads the default model in a separate process. */
const loading: BenchCase = {
  group: "native",
  name: "load",
  open(bench) {
    const request = { format: "f32", prompts: [512], tokens: 32, rounds: 1, replay: true } as const;
    let figures: Awaited<ReturnType<Bench["apart"]>> | undefined;
    return {
      async check() {
        figures = await bench.apart(request);
      },
      async measure() {
        if (!figures) throw new Error("the model was not loaded");
        return [
          less("load", figures.seconds, "s"),
          less("GPU memory, one stream and prompts", figures.gpuBytes, "bytes"),
          less("resident memory of the process", figures.resident, "bytes"),
        ];
      },
    };
  },
};

export const nativeCases: readonly BenchCase[] = [running, loading];
