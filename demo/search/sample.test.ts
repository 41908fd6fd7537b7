import { expect, it } from "vitest";
import { retrieve } from "../../engine/retrieval/retrieval.ts";
import { testGpu } from "../../test/gpu.ts";
import { loadDefault } from "../../test/models.ts";
import { sample } from "./sample.ts";
import { search } from "./search.ts";
import { FAINT } from "./words.ts";

it("the sample is always the same, of the length asked for, and holds the needle nowhere", () => {
  const { text, needle } = sample();
  expect(sample()).toEqual({ text, needle });
  expect(Math.abs(text.length - 12_000)).toBeLessThan(100);
  expect(Math.abs(sample(5000).text.length - 5000)).toBeLessThan(100);
  expect(text.toLowerCase()).not.toContain(needle);
});

it("a search of the sample shows the page one match that stands out, and the rest as background", async () => {
  const model = await loadDefault(await testGpu());
  const { text, needle } = sample();
  const { signal } = new AbortController();
  for (const mode of ["hybrid", "pvm", "plm"] as const) {
    const told: number[] = [];
    const request = { context: text, needle, mode, topK: 5, parts: 2048 };
    const answer = await search(model, request, (characters) => told.push(characters), signal);
    const [best, ...rest] = answer.matches;
    expect(best!.text).toContain("lighthouse wrote his name in sal");
    expect(best!.confidence).toBeGreaterThan(0.5);
    for (const { confidence } of rest) expect(confidence).toBeLessThan(FAINT);
    expect(told.length).toBeGreaterThan(1);
    expect(told).toEqual(told.toSorted((a, b) => a - b));
    expect(told.at(-1)).toBe(text.length);
    const { profile: _, matches, tokens } = await retrieve(model, { ...request, profile: undefined });
    expect(answer).toMatchObject({ matches, tokens, characters: text.length });
    expect(answer.profile.similarity.length).toBeLessThanOrEqual(2048);
    expect(Math.max(...answer.profile.similarity.filter((value) => !Number.isNaN(value)))).toBeCloseTo(
      best!.similarity,
      6,
    );
  }
});

it("a search stops when it is told to", async () => {
  const model = await loadDefault(await testGpu());
  const controller = new AbortController();
  const { text, needle } = sample(40_000);
  const request = { context: text, needle, mode: "pvm", topK: 5, parts: 10 } as const;
  const stop = () => controller.abort(new Error("stopped"));
  await expect(search(model, request, stop, controller.signal)).rejects.toThrow("stopped");
});
