import { adjustLogits, encodeAdjustment, encodeBiases } from "../../kernels/adjust-logits/adjust-logits.ts";
import { adjustLogitsReference } from "../../kernels/adjust-logits/reference.ts";
import { crossEntropy } from "../../kernels/cross-entropy/cross-entropy.ts";
import { crossEntropyReference } from "../../kernels/cross-entropy/reference.ts";
import {
  decodeLogprobs,
  FEW_LOGPROBS,
  type Logprobs,
  logprobs,
  logprobsBytes,
  logprobsWorkspaceBytes,
  type TokenLogprob,
} from "../../kernels/logprobs/logprobs.ts";
import { logprobsReference } from "../../kernels/logprobs/reference.ts";
import {
  distributionReference,
  quantileReference,
  threefryReference,
} from "../../kernels/sample/reference.ts";
import { encodeSampling, isGreedy, SAMPLING_BYTES, sample } from "../../kernels/sample/sample.ts";
import { sampleWorkspace } from "../../kernels/sample/sample-buffers.ts";
import { sharesRows } from "../../kernels/vocabulary-parts.ts";
import type { BenchCase } from "../harness/case.ts";
import { SAMPLING } from "../settings.ts";
import { randomFloats } from "./given.ts";
import { type KernelWork, kernelCase } from "./kernel-case.ts";

const run = { rows: 1, length: 1 };
/** The default model's, and Pythia-160m's. */
const vocabularies = [260, 50_304] as const;

const greedy = { ...SAMPLING, temperature: 0 };

const samples = kernelCase("sample", (given) =>
  vocabularies.flatMap((vocabulary) => {
    const logits = randomFloats(1, vocabulary, -8, 8);
    const shared = { run: given.run(run), logits: given.upload("logits", logits) };
    return Object.entries({ greedy, "top-k 50, top-p 0.95": SAMPLING }).map(
      ([kind, settings]): KernelWork => {
        const results = given.words("results", 1);
        const buffers = {
          ...shared,
          schedule: given.schedule(),
          sampling: given.upload("sampling", new Uint8Array(encodeSampling(settings))),
          counts: given.words("counts", vocabulary),
          metrics: given.words("metrics", 4),
          tokens: given.words("tokens", 1),
          results,
          workspace: sharesRows(given.host, vocabulary)
            ? sampleWorkspace(vocabulary, 1, (label, bytes) => given.words(label, bytes / 4))
            : undefined,
        };
        return {
          name: `sample, vocabulary ${vocabulary}, ${kind}`,
          run,
          lists: [sample(given.host, vocabulary, 1, buffers, isGreedy(settings.temperature))],
          bytes: 4 * vocabulary + SAMPLING_BYTES + 8,
          flops: 0,
          tolerance: 0,
          async compare() {
            const exact = distributionReference(logits, new Uint32Array(vocabulary), settings);
            const [word] = threefryReference([settings.seed, 0], [1, settings.choice]);
            return [
              (await given.integers(results)).subarray(0, 1),
              [quantileReference(exact, word / 2 ** 32)],
            ];
          },
        };
      },
    );
  }),
);

const likelihoods = kernelCase("logprobs", (given) =>
  vocabularies.map((vocabulary): KernelWork => {
    const logits = randomFloats(1, vocabulary, -8, 8);
    const token = vocabulary - 3;
    const out = given.words("logprobs", logprobsBytes(FEW_LOGPROBS) / 4);
    const buffers = {
      run: given.run(run),
      schedule: given.schedule(),
      logits: given.upload("logits", logits),
      results: given.upload("results", Uint32Array.of(token)),
      logprobs: out,
      candidates: sharesRows(given.host, vocabulary)
        ? given.words("candidates", logprobsWorkspaceBytes(vocabulary, 1, FEW_LOGPROBS) / 4)
        : undefined,
    };
    return {
      name: `logprobs, vocabulary ${vocabulary}`,
      run,
      lists: [logprobs(given.host, vocabulary, buffers)],
      bytes: 4 * vocabulary + logprobsBytes(FEW_LOGPROBS),
      flops: 4 * vocabulary,
      async compare() {
        const found = decodeLogprobs(await given.gpu.read(out), 0, FEW_LOGPROBS);
        const right = logprobsReference(logits, token, FEW_LOGPROBS);
        const all = (one: Logprobs): TokenLogprob[] => [one, ...one.top];
        const ids = (one: Logprobs): string =>
          all(one)
            .map((each) => each.token)
            .join();
        if (!found || ids(found) !== ids(right))
          throw new Error(`the likeliest tokens are not ${ids(right)}`);
        const values = (one: Logprobs): number[] => all(one).map((each) => each.logprob);
        return [values(found), values(right)];
      },
    };
  }),
);

const losses = kernelCase("cross-entropy", (given) =>
  vocabularies.map((vocabulary): KernelWork => {
    const rows = 64;
    const logits = randomFloats(1, rows * vocabulary, -8, 8);
    const targets = Uint32Array.from({ length: rows }, (_, row) => (row * 31) % vocabulary);
    const loss = given.words("loss", rows);
    const buffers = {
      logits: given.upload("logits", logits),
      targets: given.upload("targets", targets),
      loss,
    };
    return {
      name: `cross-entropy, vocabulary ${vocabulary}, ${rows} rows`,
      run: { rows, length: rows },
      lists: [[crossEntropy(given.host, vocabulary, buffers)]],
      bytes: 4 * rows * (vocabulary + 2),
      flops: 3 * rows * vocabulary,
      compare: async () => [
        await given.floats(loss, 0, rows),
        crossEntropyReference(logits, targets, vocabulary),
      ],
    };
  }),
);

const adjustments = kernelCase("adjust-logits", (given) =>
  vocabularies.map((vocabulary): KernelWork => {
    const logits = randomFloats(1, vocabulary, -8, 8);
    const settings = {
      repetitionPenalty: 1.1,
      presencePenalty: 0.5,
      frequencyPenalty: 0.25,
      logitBias: new Map([[7, 2]]),
    };
    const counts = Uint32Array.from({ length: vocabulary }, (_, v) => v % 3);
    const adjusted = given.words("adjusted", vocabulary);
    const buffers = {
      run: given.run(run),
      adjustments: given.upload("adjustments", new Uint8Array(encodeAdjustment(settings))),
      biases: given.upload("biases", new Uint8Array(encodeBiases(settings.logitBias))),
      logits: given.upload("logits", logits),
      counts: given.upload("counts", counts),
      bases: given.words("bases", vocabulary),
      adjusted,
    };
    return {
      name: `adjust-logits, vocabulary ${vocabulary}`,
      run,
      lists: [[adjustLogits(given.host, vocabulary, buffers)]],
      bytes: 16 * vocabulary,
      flops: 4 * vocabulary,
      compare: async () => [
        await given.floats(adjusted, 0, vocabulary),
        adjustLogitsReference(logits, counts, new Uint32Array(vocabulary), settings),
      ],
    };
  }),
);

/** Operations on logits. */
export const vocabularyCases: readonly BenchCase[] = [adjustments, samples, likelihoods, losses];
