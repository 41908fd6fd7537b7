import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generateAnswer } from "../api/responses.ts";
import { settingNames } from "../api/settings.ts";
import { type Alignment, encodeAlignment } from "../engine/alignment/alignment-file.ts";
import type { Model } from "../engine/model.ts";
import { resonant } from "./cli.ts";
import { randomFloats, testGpu } from "./gpu.ts";
import { collectBytes, generated, loadTiny, writeModel } from "./models.ts";
import { post, settingsOf, startServer, type TestServer } from "./server.ts";

const gpu = await testGpu();

let folder: string;
let tiny: string;
let data: string;
/** Alignments of the tiny model and of another model. */
let own: string;
let foreign: string;
let model: Model;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-readout-"));
  const at = (name: string): string => join(folder, name);
  [tiny, data, own, foreign] = [at("tiny"), at("text.txt"), at("own.safetensors"), at("foreign.safetensors")];
  await writeModel(tiny);
  await writeFile(data, "so foul and fair a day I have not seen");
  model = await loadTiny(gpu, { slots: 16 });
  const alignment: Alignment = { weights: randomFloats(1, 64 * 64), lambda: 0.5, tokens: 90, residual: 0.75 };
  model.align(alignment);
  await writeFile(own, await collectBytes(encodeAlignment(model, alignment)));
  const other = { fingerprint: "b2".repeat(32), weights: model.weights };
  await writeFile(foreign, await collectBytes(encodeAlignment(other, alignment)));
});
afterAll(() => rm(folder, { recursive: true }));

describe("the command line", () => {
  it("generates with its readout's logit bias; without the bias, as if there were no alignment", async () => {
    const args = ["generate", "ROMEO:", "-m", tiny, "-n", "20", "--seed", "4", "--json"];
    const options = { seed: 4, maxTokens: 20 };
    for (const readoutScale of [0, 0.5]) {
      const flags = ["--alignment", own, ...(readoutScale ? ["--readout-scale", "0.5"] : [])];
      const { code, out } = await resonant([...args, ...flags]);
      expect(code).toBe(0);
      expect(JSON.parse(out).text).toBe(
        (await generated(model, "ROMEO:", { ...options, readoutScale })).text,
      );
    }
  });

  it("measures the loss with the bias, and says so", async () => {
    const args = ["eval", "-m", tiny, "--data", data, "--window", "12", "--readout-scale", "0.25"];
    const { loss } = await model.evaluate(await model.encode("so foul and fair a day I have not seen"), {
      window: 12,
      readoutScale: 0.25,
    });
    const json = await resonant([...args, "--json"], { env: { ALIGNMENT: own } });
    expect(JSON.parse(json.out)).toEqual({
      loss: expect.closeTo(loss, 5),
      tokens: 36,
      window: 12,
      readout_scale: 0.25,
    });
    const said = await resonant([...args, "--alignment", own]);
    expect(said.out).toMatch(/^with the readout's logit bias at a scale of 0\.25$/m);
  });

  it("describes an alignment", async () => {
    const fit = { lambda: 0.5, tokens: 90, residual: 0.75 };
    const json = await resonant(["info", "-m", tiny, "--alignment", own, "--json"]);
    expect(JSON.parse(json.out).alignment).toEqual(fit);
    expect((await resonant(["info", "-m", tiny, "--alignment", own])).out).toMatch(
      /^alignment +of 90 tokens, relative residual 0\.7500$/m,
    );
    expect(JSON.parse((await resonant(["info", "-m", tiny, "--json"])).out).alignment).toBeNull();
  });

  it.each<[string, string[], number, RegExp]>([
    [
      "a scale without an alignment",
      ["--readout-scale", "1"],
      2,
      /--readout-scale: 1, but there is no alignment/,
    ],
    ["a negative scale", ["--alignment", "OWN", "--readout-scale", "-1"], 2, /number from 0 to 100/],
    ["too large a scale", ["--alignment", "OWN", "--readout-scale", "101"], 2, /number from 0 to 100/],
    ["another model's alignment", ["--alignment", "FOREIGN"], 1, /foreign\.safetensors: .*another model/],
    ["a model as an alignment", ["--alignment", "MODEL"], 1, /model\.safetensors: this is no alignment/],
    ["a file that is not there", ["--alignment", "/nowhere"], 2, /\/nowhere/],
  ])("refuses %s, in a line", async (_, args, code, message) => {
    const files: Readonly<Record<string, string>> = {
      OWN: own,
      FOREIGN: foreign,
      MODEL: join(tiny, "model.safetensors"),
    };
    const given = args.map((arg) => files[arg] ?? arg);
    const ended = await resonant(["generate", "a", "-m", tiny, "-n", "1", ...given]);
    expect(ended).toMatchObject({ code, out: "" });
    expect(ended.err).toMatch(message);
    expect(ended.err).not.toMatch(/\n\s+at /);
  });
});

describe("a server", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer(model);
  });
  afterAll(() => server?.stop());

  const request = { prompt: "ROMEO:", max_tokens: 20, seed: 4 };
  const options = { seed: 4, maxTokens: 20 };

  it("with an alignment biases the logits as requested, and reports the capability", async () => {
    const texts = [];
    for (const readoutScale of [undefined, 0, 0.5]) {
      const { status, body } = await post(`${server.url}/v1/generate`, {
        ...request,
        ...(readoutScale === undefined ? {} : { readout_scale: readoutScale }),
      });
      expect(status).toBe(200);
      const finish = await generated(model, "ROMEO:", { ...options, readoutScale });
      expect(body).toEqual({ ...generateAnswer(model, "ROMEO:", finish, body.timing_ms) });
      texts.push(body.text);
    }
    expect(texts[1]).toBe(texts[0]);
    expect(texts[2]).not.toBe(texts[0]);
    const info = await (await fetch(`${server.url}/v1/model/info`)).json();
    expect(info.alignment).toEqual({ lambda: 0.5, tokens: 90, residual: 0.75 });
  });

  it("continues a state with another scale", async () => {
    const first = await post(`${server.url}/v1/generate`, { ...request, return_state: true });
    const more = { state: first.body.state, max_tokens: 8, readout_scale: 2 };
    const { status, body } = await post(`${server.url}/v1/generate`, more);
    expect(status).toBe(200);
    const { saved } = await generated(model, "ROMEO:", { ...options, keepPending: true });
    const stream = await model.restore(saved as Uint8Array<ArrayBuffer>);
    let text = "";
    for await (const piece of model.generate("", { stream, maxTokens: 8, readoutScale: 2 }))
      text += piece.text;
    stream.close();
    expect(body.text).toBe(text);
  });

  it("takes an alignment as a setting", () => {
    expect(settingsOf(["--alignment", own]).alignment).toBe(own);
    expect(settingNames).toContain("ALIGNMENT");
  });

  it("without one refuses a scale above 0, naming the field, streamed or not", async () => {
    const plain = await loadTiny(gpu, { slots: 16 });
    const without = await startServer(plain);
    try {
      for (const stream of [false, true]) {
        const asked = { ...request, stream, readout_scale: 0.5 };
        const { status, body } = await post(`${without.url}/v1/generate`, asked);
        expect(status).toBe(400);
        expect(body).toMatchObject({
          error: "validation_error",
          message: "readout_scale must be 0: the server has no alignment",
          details: { field: "readout_scale", value: 0.5, allowed: "0: the server has no alignment" },
        });
      }
      const { status, body } = await post(`${without.url}/v1/generate`, { ...request, readout_scale: 0 });
      expect(status).toBe(200);
      expect(body.text).toBe((await generated(plain, "ROMEO:", options)).text);
      const info = await (await fetch(`${without.url}/v1/model/info`)).json();
      expect(info.alignment).toBeNull();
    } finally {
      await without.stop();
    }
  });
});
