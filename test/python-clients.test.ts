import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { settingNames } from "../api/settings.ts";
import { writeChatModel } from "./chat-models.ts";
import { until } from "./server.ts";

const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
const oracle = (name: string): string => fileURLToPath(new URL(`./oracle/${name}`, import.meta.url));

const given = process.env.RESONANT_PYTHON ?? "";
const python = given.includes("/") ? resolve(given) : given;
const lacking = whatIsLacking();
if (lacking) console.warn(`clients in Python are not tried: ${lacking}`);
const hasCurl = spawnSync("curl", ["--version"]).status === 0;

/** The reason why these tests cannot run; empty if they can. */
function whatIsLacking(): string {
  if (python === "") return "RESONANT_PYTHON names no Python that has test/oracle/requirements.txt";
  const script = `
import sys
from importlib.metadata import PackageNotFoundError, version

def has(requirement):
    name, _, wanted = requirement.partition("==")
    try:
        return version(name) == wanted
    except PackageNotFoundError:
        return False

print(*(line for line in sys.stdin.read().split() if not has(line)))`;
  const input = readFileSync(oracle("requirements.txt"));
  const { status, stdout } = spawnSync(python, ["-c", script], { input, encoding: "utf8" });
  if (status !== 0) return `RESONANT_PYTHON=${given} does not run`;
  return stdout.trim() && `${given} lacks ${stdout.trim()}`;
}

/** This environment without the server's settings, and without a proxy for local requests. */
function environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, PYTHONUTF8: "1", NO_PROXY: "*", no_proxy: "*", ...more };
  for (const name of settingNames) delete env[name];
  return env;
}

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(
  command: string,
  args: readonly string[],
  more: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Ended> {
  return new Promise((done, reject) => {
    const child = spawn(command, args, {
      cwd: more.cwd,
      env: environment(more.env),
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text;
    });
    child.on("error", reject);
    child.on("close", (code) => done({ code, out, err }));
  });
}

/** Runs a client of `test/oracle` that must succeed; returns its output. */
async function client(name: string, args: readonly string[] = [], env: Record<string, string> = {}) {
  const { code, out, err } = await run(python, [oracle(name), ...args], { env });
  expect(err).toBe("");
  expect(code).toBe(0);
  return out;
}

interface Server {
  readonly url: string;
  /** Stops it with SIGTERM; expects no warnings and exit status 0. */
  stop(): Promise<void>;
}

async function serve(...flags: string[]): Promise<Server> {
  const args = [cli, "serve", "--state-secret", "a secret of these tests", ...flags];
  const child = spawn(process.execPath, args, { env: environment(), stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(child, "close");
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  await until(() => / - serving /.test(log) || child.exitCode !== null, "it serves", 100_000).catch(() => {});
  const port = /listening on http:\/\/\S+:(\d+)$/m.exec(log)?.[1];
  if (!/ - serving /.test(log) || !port) {
    child.kill();
    throw new Error(`the server did not start: ${log}`);
  }
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      child.kill();
      expect((await ended)[0]).toBe(0);
      // Dawn writes its own messages in other formats.
      const complaint = / - (WARNING|ERROR) - |^\(node:\d+\)/;
      expect(log.split("\n").filter((line) => complaint.test(line))).toEqual([]);
    },
  };
}

/** Returns whether a program listens on a port of this machine. */
function taken(host: string, port: number): Promise<boolean> {
  return new Promise((tell) => {
    const socket = connect(port, host);
    socket.once("error", () => tell(false));
    socket.once("connect", () => {
      socket.destroy();
      tell(true);
    });
  });
}

describe.skipIf(lacking !== "")(`clients in Python${lacking && ` (skipped: ${lacking})`}`, () => {
  let server: Server;
  const serving = (start: () => Promise<Server>): void => {
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.stop());
  };

  describe("of the contract, at its port 8000", () => {
    serving(async () => {
      if ((await taken("127.0.0.1", 8000)) || (await taken("::1", 8000))) {
        throw new Error("port 8000 is in use, and the contract's client has no other: free it");
      }
      return serve();
    });

    it("finds health, model, text, coherence and the needle with the Python example", async () => {
      const lines =
        /^Health: (.*)\nModel: resonant-shakespeare\nGenerated: ([\s\S]*)\nCoherence: (.*)\nTop match: (.*)\n$/;
      const out = await client("contract_client.py");
      expect(out).toMatch(lines);
      const [, health, text, coherence, match] = lines.exec(out) ?? [];
      expect(health).toMatch(/^\{'status': 'healthy', 'model_loaded': True, .*'version': '.*\}$/);
      expect(text?.length).toBeGreaterThan(50);
      expect(Number(coherence)).toBeGreaterThan(0);
      expect(Number(coherence)).toBeLessThan(1);
      expect(match).toContain("answer is 42");
    });

    it.skipIf(!hasCurl)(
      `gets JSON with the curl examples${hasCurl ? "" : " (skipped: no curl)"}`,
      async () => {
        const examples = (await readFile(oracle("contract_curl.sh"), "utf8")).split(/\n\n/);
        const answers: unknown[] = [];
        for (const example of examples) {
          const { code, out, err } = await run("bash", ["-c", example]);
          expect(code, err).toBe(0);
          answers.push(JSON.parse(out));
        }
        const number = expect.any(Number);
        expect(answers).toEqual([
          expect.objectContaining({ status: "healthy", model_loaded: true, uptime_seconds: number }),
          expect.objectContaining({
            model_name: "resonant-shakespeare",
            num_afrb_layers: 4,
            hidden_size: 256,
          }),
          expect.objectContaining({
            prompt: "The theory of resonant neural networks",
            tokens_generated: 50,
            phase_metrics: expect.objectContaining({ phase_coherence: number, gamma_mean: number }),
            memory_stats: null,
          }),
          expect.objectContaining({
            matches: expect.arrayContaining([expect.objectContaining({ text: "key insight" })]),
            retrieval_mode: "pvm",
          }),
        ]);
      },
    );

    it("reads the metrics with Prometheus's parser", async () => {
      expect(JSON.parse(await client("prometheus_check.py", [server.url]))).toMatchObject({
        types: { generation_tokens: "counter" },
      });
    });
  });

  describe("of OpenAI", () => {
    serving(() => serve("--port", "0", "--api-keys", "one-key,another-key"));

    it("lists, completes, stops, scores, echoes, streams, is refused and disconnects", async () => {
      const env = { OPENAI_BASE_URL: `${server.url}/v1`, OPENAI_API_KEY: "another-key" };
      const seen = JSON.parse(await client("openai_client.py", [], env));
      expect(seen.models.id).toBe("resonant-shakespeare");
      expect(Object.keys(seen)).toHaveLength(12);
    }, 400_000);
  });

  describe("of OpenAI, with a model that has a chat template", () => {
    let folder: string;
    serving(async () => {
      folder = await mkdtemp(join(tmpdir(), "resonant-chat-"));
      await writeChatModel(folder);
      return serve("--port", "0", "--model", folder);
    });
    afterAll(() => rm(folder, { recursive: true }));

    it("chats, whole and as a stream, scores, and is refused", async () => {
      const env = { OPENAI_BASE_URL: `${server.url}/v1`, OPENAI_API_KEY: "any" };
      const seen = JSON.parse(await client("openai_client.py", ["chat"], env));
      expect(Object.keys(seen)).toHaveLength(5);
    }, 400_000);
  });

  describe("of the OpenAPI document: Schemathesis", () => {
    const key = "a-key";
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "resonant-schemathesis-"));
      // A schema cannot express which messages a template refuses or makes too long, so this template does neither.
      await writeChatModel(
        join(folder, "tiny"),
        "{{ messages[-1].role }}: {{ messages[-1].content[-400:] }}",
      );
      // Random bytes are not a state, and random names rarely match a session; the schema cannot express that.
      const unlikely = "[[operations]]\ninclude-path-regex = '/v1/sessions/'\nwarnings = false\n";
      await writeFile(join(folder, "schemathesis.toml"), unlikely);
    });
    afterAll(() => rm(folder, { recursive: true }));

    /** Limits that keep requests short, with a queue for the choices of 16 prompts. */
    serving(() =>
      serve(
        ...["--port", "0", "--model", join(folder, "tiny"), "--max-tokens-limit", "16", "--max-choices", "2"],
        ...["--max-prompt-chars", "500", "--max-context-chars", "2000", "--api-keys", key],
      ),
    );

    interface Report {
      readonly complete: boolean;
      readonly operations: { readonly total: number; readonly tested: number };
      readonly phases: Readonly<Record<string, { readonly status: string }>>;
      readonly test_cases: { readonly generated: number };
      readonly failures: readonly unknown[];
      readonly errors: readonly unknown[];
      readonly valid_rates: Readonly<Record<string, { readonly fuzzing: { readonly accepted: number } }>>;
    }

    it("finds no fault in a thousand valid and invalid requests, and is refused everywhere without a key", async () => {
      const path = join(folder, "report.json");
      const { code, out, err } = await run(
        python,
        [
          ...["-m", "schemathesis.cli", "run", `${server.url}/openapi.json`, "--checks", "all", "--no-color"],
          // Do not fail because of a slow adapter, or data that is hard to generate.
          ...["--request-timeout", "120", "--max-response-time", "120"],
          ...["--suppress-health-check", "all", "--seed", "1", "--max-examples", "30"],
          ...["--report", "json", "--report-json-path", path, "-H", `Authorization: Bearer ${key}`],
        ],
        { cwd: folder, env: { SCHEMATHESIS_HOOKS: oracle("schemathesis_hooks.py") } },
      );
      expect({ code, out }, err).toEqual({ code: 0, out: expect.stringContaining("No issues found") });
      const report: Report = JSON.parse(await readFile(path, "utf8"));
      expect(report).toMatchObject({
        complete: true,
        operations: { total: 21, tested: 21 },
        phases: { coverage: { status: "success" }, fuzzing: { status: "success" } },
        failures: [],
        errors: [],
      });
      expect(report.test_cases.generated).toBeGreaterThanOrEqual(1000);
      const posts = ["generate", "retrieve", "completions", "chat/completions", "sessions/{name}/fork"];
      for (const operation of [...posts.map((path) => `POST /v1/${path}`), "GET /v1/sessions/{name}"]) {
        expect(report.valid_rates[operation]?.fuzzing.accepted, operation).toBeGreaterThan(0);
      }
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      const guarded = ["generate", "retrieve", "completions", "chat/completions", "models", "sessions"];
      for (const path of guarded.map((name) => `/v1/${name}`)) {
        expect(metrics).toMatch(new RegExp(`route="${path}",status="401"\\} [1-9]`));
      }
    }, 900_000);
  });
});
