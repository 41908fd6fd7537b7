import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytesSource } from "../weights/byte-source.ts";
import { startThread } from "../weights/node/threads.ts";
import { openTensorFile } from "../weights/open.ts";
import { writeSafetensors } from "../weights/safetensors.ts";
import type { TensorFile } from "../weights/tensor-file.ts";
import { cli, type Ended, refusal, run, resonant as runResonant } from "./cli.ts";
import { collectBytes, fixturePath, openFixture, writeModel } from "./models.ts";

const resonant = (args: readonly string[], input: string | Uint8Array[] = ""): Promise<Ended> =>
  runResonant(args, { input });

/** Runs a command that must succeed; returns its parsed JSON. */
async function json(args: readonly string[], input?: string): Promise<Record<string, unknown>> {
  const { code, out, err } = await resonant([...args, "--json"], input);
  expect(err).toBe("");
  expect(code).toBe(0);
  return JSON.parse(out);
}

let folder: string;
let tiny: string;
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resonant-cli-"));
  tiny = at("tiny");
  await writeModel(tiny);
});
afterAll(() => rm(folder, { recursive: true }));

describe("resonant generate", () => {
  const settings = ["--temperature", "1", "--seed", "5"];
  let whole: Record<string, unknown> & { text: string };

  beforeAll(async () => {
    const args = ["generate", "-m", tiny, "Once more", "-n", "24", ...settings, "--metrics"];
    whole = (await json(args)) as typeof whole;
  });

  it("prints the API's fields with their types", () => {
    const number = expect.any(Number);
    expect(whole).toEqual({
      text: expect.any(String),
      prompt: "Once more",
      tokens_generated: 24,
      finish_reason: "max_tokens",
      timing_ms: number,
      seed: 5,
      usage: {
        prompt_tokens: 9,
        completion_tokens: 24,
        total_tokens: 33,
        prompt_tokens_details: { cached_tokens: 0 },
      },
      phase_metrics: {
        phase_coherence: number,
        gamma_mean: number,
        omega_values: [6, 6.1, 6.2],
        phase_offsets: [0, 0.1, 0.2],
      },
      memory_stats: {
        pvm_mem_norm: number,
        pvm_gate_strength: number,
        plm_coherence: number,
        total_memory_kb: number,
      },
      model_info: { model_name: tiny, num_afrb_layers: 3, hidden_size: 64 },
    });
    expect(whole.text.length).toBeGreaterThan(0);
  });

  it("prints the same text for the same seed, the prompt read from standard input", async () => {
    const plain = await resonant(["generate", "-m", tiny, "-", "-n", "24", ...settings], "Once more");
    expect(plain).toEqual({ code: 0, out: whole.text, err: "" });
  });

  it("leaves out a byte order mark on standard input, and refuses what is not UTF-8, by byte", async () => {
    const args = ["generate", "-m", tiny, "-", "-n", "24", ...settings];
    expect(await resonant(args, "\ufeffOnce more")).toEqual({ code: 0, out: whole.text, err: "" });
    const refused = await resonant(args, [Uint8Array.of(0x63, 0x61, 0x66, 0xe9)]);
    expect(refused).toEqual({
      code: 2,
      out: "",
      err: "error: standard input: it is not UTF-8 text: see byte 3\n",
    });
  });

  it.skipIf(!existsSync("/dev/full"))("says that the disk is full, and ends with 1", async () => {
    const command = `"$0" "$1" devices --json > /dev/full`;
    expect(await run("sh", ["-c", command, process.execPath, cli])).toEqual({
      code: 1,
      out: "",
      err: "error: standard output: cannot be written: the disk is full\n",
    });
  });

  it("ends before a stop string", async () => {
    const stop = whole.text.slice(6, 9);
    const args = ["generate", "-m", tiny, "Once more", "-n", "24", ...settings, "--stop", "never said", stop];
    const stopped = await json(args);
    expect(stopped).toMatchObject({
      text: whole.text.slice(0, whole.text.indexOf(stop)),
      finish_reason: "stop_sequence",
    });
  });

  it("continues a saved state exactly, and refuses a damaged one or that of another model", async () => {
    const state = at("stream.state");
    const args = ["generate", "-m", tiny, "Once more", "-n", "9", ...settings, "--state-out", state];
    const first = await resonant(args);
    expect(first).toMatchObject({
      code: 0,
      err: expect.stringMatching(/^saved \d+ bytes of state to .*\n$/),
    });
    const rest = await resonant(["generate", "-m", tiny, "-n", "15", "--temperature", "1", "--state", state]);
    expect(rest).toEqual({ code: 0, out: expect.any(String), err: "" });
    expect(first.out + rest.out).toBe(whole.text);

    const bytes = await readFile(state);
    bytes[bytes.length - 40]! ^= 1;
    await writeFile(at("damaged.state"), bytes);
    const damaged = await resonant(["generate", "-m", tiny, "--state", at("damaged.state")]);
    expect(damaged).toMatchObject({ code: 1, out: "" });
    expect(damaged.err).toMatch(/^error: .*damaged\.state: its SHA-256 does not match.*\n$/);

    const foreign = await resonant(["generate", "--state", state]);
    expect(foreign).toMatchObject({ code: 1, out: "" });
    expect(foreign.err).toMatch(/^error: .*stream\.state: .*\n$/);
  });

  it("ends quietly when its reader closes the pipe", async () => {
    const command = `set -o pipefail; "$0" "$1" generate -m "$2" "Once more" -n 400 --seed 5 | head -c 10 | wc -c`;
    const piped = await run("bash", ["-c", command, process.execPath, cli, tiny]);
    expect(piped).toMatchObject({ code: 0, err: "" });
    expect(piped.out.trim()).toBe("10");
  });

  it.each([
    ["--max-tokens", "0"],
    ["--max-tokens", "1.5"],
    ["--temperature", "2.1"],
    ["--temperature", "warm"],
    ["--top-k", "-1"],
    ["--top-p", "1.01"],
    ["--repetition-penalty", "0.5"],
    ["--phase-temperature", "-1"],
    ["--seed", ""],
    ["--run-ahead", "1025"],
    ["--format", "int3"],
    ["--device", "tpu"],
  ])("refuses %s %j with status 2, naming the flag", async (flag, value) => {
    const { code, out, err } = await refusal(["generate", "x", flag, value]);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain(flag);
    expect(err).not.toMatch(/\n\s+at /);
  });

  it.each<[string, readonly string[], RegExp]>([
    ["no prompt and no state", ["generate"], /prompt: it is empty/],
    ["a state that is not there", ["generate", "--state", "/nowhere.state"], /--state \/nowhere\.state/],
    ["a missing model", ["generate", "x", "-m", "/nowhere"], /\/nowhere"?: there is no such folder/],
    ["a text that is not there", ["eval", "--data", "/nowhere.txt"], /--data \/nowhere\.txt/],
    ["eval without a text", ["eval"], /--data/],
    ["a window of nothing", ["eval", "--data", "x", "--window", "0"], /--window/],
    ["goldens that are not there", ["goldens", "/nowhere"], /\/nowhere/],
    ["an empty stop string", ["generate", "x", "--stop", ""], /^error: --stop: is empty/],
    [
      "a text that is too short",
      ["eval", "--data", "package.json", "--window", "99999"],
      /^error: --data: \d+ tokens/,
    ],
    ["matches of nothing", ["retrieve", "x", "--context", "x", "--top-k", "0"], /--top-k/],
    ["an unknown command", ["sing"], /sing/],
  ])("refuses %s with status 2, in a line", async (_, args, message) => {
    const { code, out, err } = await refusal(args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n\s+at /);
  });
});

describe("a model's folder", () => {
  const refused = async (name: string, message: RegExp): Promise<void> => {
    const { code, out, err } = await resonant(["generate", "x", "-n", "1", "-m", at(name)]);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toMatch(message);
    expect(err.trim().split("\n")).toHaveLength(1);
  };

  it("is refused if the config is not JSON or lacks a field, naming the field", async () => {
    await writeModel(at("no-json"));
    await writeFile(join(at("no-json"), "config.json"), "{");
    await refused("no-json", /config\.json: it is not JSON/);
    await writeModel(at("no-size"));
    const config = JSON.parse(await readFile(join(tiny, "config.json"), "utf8"));
    await writeFile(
      join(at("no-size"), "config.json"),
      JSON.stringify({ ...config, hidden_size: undefined }),
    );
    await refused("no-size", /config\.json.*hidden_size/);
  });

  it("is refused if the architecture is unknown, naming it", async () => {
    await writeModel(at("other"));
    await writeFile(join(at("other"), "config.json"), '{"model_type":"gpt2"}');
    await refused("other", /config\.json: model_type "gpt2"/);
  });

  it("is refused if a tensor is missing, naming it", async () => {
    await writeModel(at("gap"), (tensors) => tensors.delete("blocks.1.plm.kappa"));
    await refused("gap", /blocks\.1\.plm\.kappa: the tensor is missing/);
  });

  it("is refused if the weights are truncated, naming the file", async () => {
    await writeModel(at("short"));
    const path = join(at("short"), "model.safetensors");
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, bytes.length - 100));
    await refused("short", /model\.safetensors/);
  });

  it("is refused if a weight is NaN, naming the tensor", async () => {
    await writeModel(at("nan"), (tensors) => {
      const tensor = tensors.get("blocks.2.mixer.bias")!;
      tensors.set(tensor.name, {
        ...tensor,
        bytes: async () => {
          const bytes = (await tensor.bytes()).slice();
          new DataView(bytes.buffer, bytes.byteOffset).setFloat32(8, Number.NaN, true);
          return bytes;
        },
      });
    });
    await refused("nan", /blocks\.2\.mixer\.bias: element 2 is NaN/);
  });
});

describe("resonant info and adapters", () => {
  it("describe the default model, in JSON as the API does and in words", async () => {
    const info = await json(["info"]);
    expect(info).toMatchObject({
      model_name: "resonant-shakespeare",
      num_afrb_layers: 4,
      hidden_size: 256,
      vocab_size: expect.any(Number),
      max_context_length: null,
      phase_features: {
        adaptive_omega: expect.any(Boolean),
        learnable_gamma: expect.any(Boolean),
        omega_base: expect.any(Number),
        phi_base: expect.any(Number),
      },
      memory_features: { pvm_enabled: true, plm_enabled: true },
      device: expect.stringMatching(/^(cuda|mps|gpu|cpu)$/),
      adapter: expect.any(String),
      parameters: 3042916,
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const devices = (await json(["devices"])) as unknown as { name: string; kind: string }[];
    expect(devices[0]?.name).toBe(info.adapter);
    expect(devices[0]?.kind).toMatch(/^(hardware|software)$/);
    expect(await json(["adapters"])).toEqual(devices); // the command's old name
    const words = await resonant(["info"]);
    expect(words).toMatchObject({ code: 0, err: "" });
    expect(words.out).toMatch(/parameters +3,042,916/);
  });

  it("lists the use of GPU memory, of the loaded model and of a prompt", async () => {
    const { memory, gpu_bytes: all } = await json(["info", "--slots", "3"]);
    const { slots, per_stream: perStream, ...purposes } = memory as Record<string, number>;
    expect(Object.values(purposes).reduce((sum, bytes) => sum + bytes, 0)).toBe(all);
    expect(purposes).toMatchObject({ attention: 0, alignment: 0 });
    for (const purpose of ["weights", "states", "snapshots", "prefixes", "steps", "prompts", "staging"]) {
      expect(purposes[purpose]).toBeGreaterThan(0);
    }
    expect(slots).toBe(3);
    expect(perStream).toBeGreaterThan(0);
    const { out } = await resonant(["info", "--slots", "3"]);
    expect(out).toMatch(/^work buffers of a prompt +\d+\.\d+$/m);
    expect(out).toMatch(/^each of 3 streams +\d+\.\d+$/m);
  });
});

describe("resonant eval", () => {
  it("measures a text in windows or as one stream, with equal results if one window holds all", async () => {
    const data = at("text.txt");
    await writeFile(data, "To be, or not to be. ".repeat(20).slice(0, 150));
    const [windows, one, stream] = [
      await json(["eval", "-m", tiny, "--data", data, "--window", "64"]),
      await json(["eval", "-m", tiny, "--data", data, "--window", "149"]),
      await json(["eval", "-m", tiny, "--data", data, "--stream"]),
    ];
    expect(windows).toEqual({ loss: expect.any(Number), tokens: 128, window: 64 });
    expect(one).toMatchObject({ tokens: 149, window: 149 });
    expect(stream).toMatchObject({ tokens: 149, window: null });
    expect(stream.loss).toBeCloseTo(Number(one.loss), 5);
    // Untrained weights are about as good as a random guess among 300 tokens.
    for (const { loss } of [windows, one]) expect(Math.abs(Number(loss) - Math.log(300))).toBeLessThan(3);
  });

  it("refuses a text shorter than a window, and invalid UTF-8", async () => {
    await writeFile(at("short.txt"), "To be");
    const short = await resonant(["eval", "-m", tiny, "--data", at("short.txt")]);
    expect(short).toMatchObject({
      code: 2,
      out: "",
      err: expect.stringContaining("a window of 256 needs 257"),
    });
    await writeFile(at("bytes.txt"), Uint8Array.of(0x54, 0xff, 0xfe));
    const bytes = await resonant(["eval", "-m", tiny, "--data", at("bytes.txt")]);
    expect(bytes).toMatchObject({ code: 2, out: "", err: expect.stringContaining("not UTF-8 text") });
  });
});

describe("resonant goldens", () => {
  it("passes the reference's files, lists the one that must be refused, and names a changed one that fails", async () => {
    const goldens = at("goldens");
    await mkdir(goldens);
    const names = ["afrb_conv_pvm", "afrb_glu_pvm_step0", "native_one_token"].map((n) => `${n}.safetensors`);
    for (const name of names) await copyFile(fixturePath(`goldens/${name}`), join(goldens, name));
    const good = await json(["goldens", goldens]);
    const error = expect.any(Number);
    expect(good).toMatchObject({
      failed: 0,
      files: [
        { file: names[0], refused: expect.stringContaining("Conv1d") },
        { file: names[1], pass: error, step: error },
        { file: names[2], pass: error, step: error },
      ],
    });

    const golden = await openFixture("goldens/afrb_glu_pvm_step0.safetensors");
    await writeFile(join(goldens, "afrb_tampered.safetensors"), await tampered(golden, "state.mixer.0.bias"));
    const bad = await resonant(["goldens", goldens]);
    expect(bad).toMatchObject({ code: 1, err: "" });
    expect(bad.out).toMatch(/^afrb_tampered\.safetensors .*above 0\.00001$/m);
    expect(bad.out).toMatch(/^afrb_conv_pvm\.safetensors +refused: .*Conv1d/m);
    expect(bad.out).toMatch(/^3 of 4 passed$/m);
  });

  /** Copies the file with the first number of `name` changed. */
  async function tampered(file: TensorFile, name: string): Promise<Buffer> {
    const tensors = [...file.tensors.values()].map((tensor) => ({
      ...tensor,
      bytes: async () => {
        const bytes = (await file.bytes(tensor.name)).slice();
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        if (tensor.name === name) view.setFloat32(0, view.getFloat32(0, true) + 0.1, true);
        return bytes;
      },
    }));
    const metadata = Object.entries(file.metadata).map(([key, value]) => [key, String(value)]);
    return collectBytes(writeSafetensors(tensors, Object.fromEntries(metadata)));
  }
});

describe("resonant convert", () => {
  it("keeps every byte of every tensor, and overwrites no file unless told to", async () => {
    const input = fixturePath("checkpoints/adapters_d32_zip.pt");
    const output = at("converted.safetensors");
    const summary = await json(["convert", input, output]);
    const before = await openFixture("checkpoints/adapters_d32_zip.pt");
    const bytes = await readFile(output);
    const after = await openTensorFile(bytesSource("converted", new Uint8Array(bytes)), startThread);
    expect(summary).toMatchObject({ tensors: before.tensors.size, bytes: bytes.length });
    for (const name of before.tensors.keys()) {
      expect(await after.bytes(name), name).toEqual(await before.bytes(name));
    }
    const again = await resonant(["convert", input, output]);
    expect(again.code).not.toBe(0);
    expect(again.err).toMatch(/^error: .*converted\.safetensors.*\n$/);
    expect(await readFile(output)).toEqual(bytes);
    expect(await resonant(["convert", input, output, "--force"])).toMatchObject({ code: 0, err: "" });
  });

  it("refuses a file that is no checkpoint", async () => {
    await writeFile(at("no.pt"), "no checkpoint");
    const { code, out, err } = await refusal(["convert", at("no.pt"), at("no.safetensors")]);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toMatch(/^error: .*no\.pt.*\n$/);
  });
});
