import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { settingNames } from "../api/settings.ts";
import { startHub, type TestHub } from "./hub.ts";
import { fixturePath } from "./models.ts";
import { post, until } from "./server.ts";

const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
const fixture = (name: string): Buffer => readFileSync(fixturePath(name));
const REPO = "tests/neox-parallel";
const CHECKPOINT = fixturePath("checkpoints/adapters_d32_zip.pt");

let hub: TestHub;
let home: string;

beforeAll(async () => {
  hub = await startHub();
  home = await mkdtemp(join(tmpdir(), "resonant-hub-"));
  hub.commit(
    REPO,
    {
      "config.json": fixture("base-models/neox-parallel/config.v4.json"),
      "model.safetensors": fixture("base-models/neox-parallel/model.safetensors"),
      "tokenizer.json": fixture("tokenizers/bytes/tokenizer.json"),
      "tokenizer_config.json": fixture("tokenizers/bytes/tokenizer_config.json"),
    },
    { lfs: ["model.safetensors"] },
  );
});

afterAll(async () => {
  await hub.stop();
  await rm(home, { recursive: true });
});

/** The environment of a machine on which only the hub is configured. */
function environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env };
  for (const name of [...settingNames, "HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"]) delete env[name];
  return { ...env, HF_HOME: home, HF_ENDPOINT: hub.url, ...more };
}

async function json(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const command = [cli, ...args, "--json"];
  const { stdout } = await promisify(execFile)(process.execPath, command, { env: environment(env) });
  return JSON.parse(stdout);
}

describe("a base model by its name on a hub, with adapters", () => {
  const flags = ["--model", REPO, "--checkpoint", CHECKPOINT];

  it("is downloaded once, described with every adapter, and generates the same offline", async () => {
    const info = await json(["info", ...flags]);
    expect(info).toMatchObject({
      model_name: REPO,
      num_afrb_layers: 3,
      hidden_size: 32,
      vocab_size: 128,
      max_context_length: 400,
      phase_features: { adaptive_omega: false, learnable_gamma: true },
      memory_features: { pvm_enabled: true, plm_enabled: false },
    });
    expect(info.blocks).toHaveLength(3);
    expect(info.blocks[0]).toMatchObject({ pvm_omega: 6.05, pvm_phi: 0.15 });
    expect(hub.asked().some((request) => request.startsWith("GET"))).toBe(true);
    const said = await json(["generate", "Hello", ...flags, "-n", "12", "--seed", "3"]);
    expect(said.tokens_generated).toBe(12);
    expect(hub.asked().filter((request) => request.startsWith("GET"))).toEqual([]);
    const offline = await json(["generate", "Hello", ...flags, "-n", "12", "--seed", "3"], {
      HF_HUB_OFFLINE: "1",
    });
    expect(offline.text).toBe(said.text);
    expect(hub.asked()).toEqual([]);
  });

  it("is served by the contract's own environment variables, with that model's values", async () => {
    const env = environment({
      MODEL_NAME: REPO,
      MODEL_CHECKPOINT: CHECKPOINT,
      ADAPTER_PLACEMENT: "layers",
      API_HOST: "127.0.0.1",
      API_PORT: "0",
      MAX_BATCH_SIZE: "2",
    });
    const child = spawn(process.execPath, [cli, "serve"], { env, stdio: ["ignore", "ignore", "pipe"] });
    const ended = once(child, "exit");
    let log = "";
    child.stderr.on("data", (chunk: Buffer) => {
      log += chunk;
    });
    try {
      await until(() => / - serving /.test(log) || child.exitCode !== null, "it serves", 100_000);
      const url = /listening on (http:\S+)/.exec(log)![1]!;
      const info = await (await fetch(`${url}/v1/model/info`)).json();
      expect(info).toMatchObject({ model_name: REPO, num_afrb_layers: 3, max_context_length: 400 });
      const asked = { prompt: "Hello", max_tokens: 8, return_phase_metrics: true, return_memory_stats: true };
      const { status, body } = await post(`${url}/v1/generate`, asked);
      expect(status).toBe(200);
      expect(body.model_info).toEqual({ model_name: REPO, num_afrb_layers: 3, hidden_size: 32 });
      expect(body.phase_metrics.omega_values).toHaveLength(3);
      expect(body.phase_metrics.phase_coherence).toBeGreaterThan(0);
      expect(body.memory_stats.plm_coherence).toBeNull();
      // Three memories of 32 floats, and keys and values of 3 layers for 12 tokens; the last token is not fed.
      expect(body.memory_stats.total_memory_kb).toBeCloseTo((3 * 32 * 4 + 2 * 3 * 32 * 4 * 12) / 1024, 6);
      for (const [field, value] of Object.entries({ return_state: true, state: "abcd", session: "a" })) {
        const refused = await post(`${url}/v1/generate`, { prompt: "x", [field]: value });
        expect([refused.status, refused.body.details.field]).toEqual([400, field]);
      }
      const file = { "Content-Type": "application/octet-stream" };
      const imported = await post(`${url}/v1/sessions/a/import`, "a state", file);
      expect([imported.status, imported.body.details.field]).toEqual([400, "body"]);
      const long = await post(`${url}/v1/generate`, { prompt: "x".repeat(401) });
      expect(long.status).toBe(400);
      expect(long.body.message).toMatch(/401 tokens.*400 positions/);
    } finally {
      child.kill();
    }
    expect(await ended).toEqual([0, null]);
  });

  it("that is missing, gated or not a model gives an error with its name", async () => {
    const fails = async (args: readonly string[]) => {
      const outcome = await json(args).catch((error: { stderr: string; code: number }) => error);
      return outcome.stderr as string;
    };
    expect(await fails(["info", "--model", "tests/absent"])).toMatch(/tests\/absent/);
    expect(await fails(["info", "--model", "tests/../etc"])).toMatch(/"tests\/\.\.\/etc"/);
    hub.commit("tests/bert", {
      "config.json": '{"model_type": "bert"}',
      "model.safetensors": fixture("base-models/neox-parallel/model.safetensors"),
    });
    expect(await fails(["info", "--model", "tests/bert"])).toMatch(/model_type "bert"/);
    hub.commit("tests/page", {
      "config.json": "{}",
      "model.safetensors": "<!doctype html><title>Sign in</title>",
    });
    expect(await fails(["info", "--model", "tests/page"])).toMatch(/model\.safetensors.*HTML/);
  });
});
