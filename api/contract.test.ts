import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { ResonantError } from "../common/errors.ts";
import { samplingOptions } from "../engine/sampling-options.ts";
import { fieldOf } from "./contract.ts";
import { asApiError } from "./errors.ts";
import { generateRequest } from "./schemas/generate.ts";
import type { Limits } from "./schemas/limits.ts";

const limits: Limits = {
  model: "tiny",
  maxTokens: 2048,
  promptChars: 8192,
  contextChars: 100_000,
  choices: 16,
  stateChars: 1000,
  vocabulary: 300,
  chat: false,
  readoutScale: samplingOptions.readoutScale.most,
  retrievalModes: ["pvm"],
};

const refused = (option: string): ResonantError =>
  new ResonantError("invalid_argument", "is wrong", { option, fix: (name) => `Change ${name(option)}` });

describe("an option of the library", () => {
  it.each([
    ["topK", "top_k"],
    ["stopSequences[0]", "stop_sequences[0]"],
    ["mode", "retrieval_mode"],
    ["readoutScale", "readout_scale"],
    ["tokens", "prompt"],
  ])("that is wrong, %s, is told to a client as %s", (option, field) => {
    const { message, details, kind } = asApiError(refused(option));
    expect({ message, details, kind }).toEqual({
      message: `${field}: is wrong. Change ${field}`,
      details: { field },
      kind: "validation_error",
    });
  });

  it("that clients give has a field of its own, with the library's range", () => {
    const { runAhead: _host, choice: _choice, logprobs: _logprobs, ...given } = samplingOptions;
    for (const [option, { least, most }] of Object.entries(given)) {
      const field = fieldOf(option);
      const accepts = (value: number): boolean =>
        v.safeParse(generateRequest(limits), { prompt: "a", [field]: value }).success;
      const largest = option === "maxTokens" ? limits.maxTokens : most;
      expect([field, accepts(least), accepts(largest)]).toEqual([field, true, true]);
      expect([field, accepts(least - 1), accepts(2 * largest + 1)]).toEqual([field, false, false]);
    }
  });
});
