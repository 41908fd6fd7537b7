import { afterEach, expect, it, vi } from "vitest";
import { type Ended, refusal, resonant } from "./cli.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

/** What `resonant serve` says with these environment variables. */
async function serve(env: Record<string, string>, ...flags: string[]): Promise<Ended> {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  return refusal(["serve", "--port", "0", ...flags]);
}

it.each(["", " ", " , ", ",,"])(
  "refuses API_KEYS that name no key, rather than serve everyone: %j",
  async (keys) => {
    const { code, err } = await serve({ API_KEYS: keys });
    expect(code).toBe(2);
    expect(err).toMatch(/^error: --api-keys or API_KEYS: .*names no key/);
  },
);

it.each<[string, string, string]>([
  ["STATE_SECRET", "--state-secret", "hunter2"],
  ["SESSION_STORE", "--session-store", "redis://user:hunter2@"],
  ["SESSION_STORE", "--session-store", "http://user:hunter2@host"],
  ["SESSION_STORE", "--session-store", "redis://user:hunter2@host/x"],
  ["SESSION_STORE", "--session-store", "redis://user:%zzhunter2@host"],
])("prints no secret that it refuses, from a variable or a flag: %s", async (variable, flag, value) => {
  for (const given of [await serve({ [variable]: value }), await serve({ [variable]: "" }, flag, value)]) {
    expect(given.code).toBe(2);
    expect(given.err).toContain(variable);
    expect(given.err + given.out).not.toContain("hunter2");
  }
});

it("says that a checkpoint is missing before it asks a hub for the model, and an IPv6 address as a URL", async () => {
  const env = { HF_ENDPOINT: "http://127.0.0.1:1", MODEL_NAME: "me/model", MODEL_CHECKPOINT: "/no/such.pt" };
  const { code, err } = await resonant(["serve", "--port", "0", "--host", "::1"], { env });
  expect(code).toBe(2);
  expect(err).toMatch(/listening on http:\/\/\[::1\]:\d+$/m);
  expect(err).toContain("error: /no/such.pt: cannot be opened: no such file or folder");
});

it.each(["METRICS_ACCESS", "DOCS_ACCESS"])("refuses %s=key without keys", async (variable) => {
  const { code, err } = await serve({ [variable]: "key" });
  expect(code).toBe(2);
  expect(err).toBe(
    `error: ${variable}: it is \`key\`, but there are no keys. Set API_KEYS, or make it public or off\n`,
  );
});
