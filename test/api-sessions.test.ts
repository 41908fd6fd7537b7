import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { generateResponse } from "../api/schemas/generate.ts";
import { errorResponse } from "../api/schemas/responses.ts";
import {
  deletedResponse,
  sessionDetail,
  sessionResponse,
  sessionsResponse,
} from "../api/schemas/sessions.ts";
import { Model } from "../engine/model.ts";
import { ResonantClient } from "../examples/api-client.ts";
import { resonant } from "./cli.ts";
import { testGpu } from "./gpu.ts";
import { loadTiny, scriptedModelFiles, writeModel } from "./models.ts";
import { startServing } from "./processes.ts";
import { lackingRedis, startRedis, type TestRedis } from "./redis.ts";
import {
  type Answer,
  type OpenRequest,
  openRequest,
  post,
  postStream,
  readEvents,
  startServer,
  type TestServer,
  until,
} from "./server.ts";

const PROMPT = "the oscillators agree";
const SAMPLING = { temperature: 1, top_k: 0, top_p: 1, repetition_penalty: 1.2 };
const LONG = 2000;

let model: Model;
let scripted: Model;
let server: TestServer;
const others: TestServer[] = [];

beforeAll(async () => {
  const gpu = await testGpu();
  model = await loadTiny(gpu, { slots: 16 });
  scripted = await Model.load(gpu, scriptedModelFiles(Buffer.from("abcdefghij")), { slots: 16 });
});

afterEach(async () => {
  await Promise.all(others.splice(0).map((each) => each.stop()));
  for (const { runner } of [model, scripted]) {
    await until(() => runner.pool.free === runner.pool.slots, "every slot is given back");
  }
});

/** Starts a server that stops with the test. */
async function start(flags: readonly string[] = [], served = model): Promise<TestServer> {
  const started = await startServer(served, ["--state-imports", "any", ...flags]);
  others.push(started);
  return started;
}

let names = 0;
/** Returns a session name that no other test uses. */
const fresh = (): string => `session-${++names}`;

const generate = (body: object, { url } = server, headers = {}): Promise<Answer> =>
  post(`${url}/v1/generate`, { ...SAMPLING, prompt: "", max_tokens: 8, ...body }, headers);

/** Takes a turn and expects success. */
async function turn(session: string, body: object = {}, on = server) {
  const { status, body: answer } = await generate({ session, ...body }, on);
  expect([status, answer.message]).toEqual([200, undefined]);
  return v.parse(v.required(generateResponse.pipe[0], ["session", "turn"]), answer);
}

async function ask(method: string, path: string, { url } = server, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url + path, { method, ...init });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

const at = (name: string, more = ""): string => `/v1/sessions/${name}${more}`;

/** Reads a session, without its expiry, which each read renews. */
async function tell(name: string, on = server) {
  const { status, body } = await ask("GET", at(name), on);
  expect(status).toBe(200);
  const { expires, ...rest } = v.parse(v.strictObject(sessionDetail.pipe[0].entries), body);
  expect(Date.parse(expires)).toBeGreaterThan(Date.parse(rest.updated));
  return rest;
}

function expectRefusal(answer: Answer, status: number, kind: string, field?: string): string {
  expect([answer.status, answer.body.error, answer.body.details?.field]).toEqual([status, kind, field]);
  return v.parse(errorResponse, answer.body).message;
}

async function exported(name: string, { url } = server): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(`${url}${at(name, "/export")}`);
  expect(response.status).toBe(200);
  expect(response.headers.get("Content-Type")).toBe("application/octet-stream");
  expect(response.headers.get("Content-Disposition")).toBe(`attachment; filename="${name}.state"`);
  return new Uint8Array(await response.arrayBuffer());
}

const load = (
  name: string,
  body: Uint8Array<ArrayBuffer>,
  on = server,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> =>
  ask("POST", at(name, "/import"), on, {
    body,
    headers: { "Content-Type": "application/octet-stream", ...headers },
  });

/** Returns a copy of a state file in which the first number of layer 0's tail is another, with its own digest. */
function altered(state: Uint8Array, value: number): Uint8Array<ArrayBuffer> {
  const file = Uint8Array.from(state);
  const view = new DataView(file.buffer);
  const header = 8 + Number(view.getBigUint64(0, true));
  const tensors = JSON.parse(Buffer.from(file.buffer, 8, header - 8).toString());
  view.setFloat32(header + tensors["state.0.conv"].data_offsets[0], value, true);
  const mark = '"sha256":"';
  const digest = Buffer.from(file.buffer, 0, header).lastIndexOf(mark) + mark.length;
  file.fill(0x30, digest, digest + 64);
  file.set(Buffer.from(createHash("sha256").update(file).digest("hex")), digest);
  return file;
}

/** Starts a streaming turn and waits for its first event. */
async function begin(
  session: string,
  body: object = {},
  on: Pick<TestServer, "url"> = server,
): Promise<OpenRequest> {
  const asked = { ...SAMPLING, session, prompt: PROMPT, max_tokens: LONG, stream: true, ...body };
  const open = openRequest(`${on.url}/v1/generate`, asked);
  const response = await open.response;
  expect(response.statusCode).toBe(200);
  for await (const { event } of readEvents(response.iterator({ destroyOnReturn: false }))) {
    expect(event).toBe("message");
    break;
  }
  return open;
}

/** Disconnects from a turn, and waits until the server has noticed. */
async function leave(open: OpenRequest, session: string, on = server): Promise<void> {
  open.leave();
  const free = async () => {
    const lease = await on.service.sessions.lease("public", session);
    await lease?.release();
    return lease !== undefined;
  };
  await expect.poll(free, { timeout: 20_000, interval: 5 }).toBe(true);
}

/** Takes the same turns through states that the client carries; a session must give the same text. */
async function throughStates(turns: readonly object[]): Promise<string[]> {
  const texts: string[] = [];
  let state: string | undefined;
  for (const body of turns) {
    const { body: answer } = await generate({ ...body, ...(state ? { state } : {}), return_state: true });
    texts.push(answer.text);
    state = answer.state;
  }
  return texts;
}

const CONVERSATION: readonly { readonly prompt?: string; readonly [field: string]: unknown }[] = [
  { prompt: PROMPT, seed: 3, max_tokens: 7 },
  { max_tokens: 1 },
  { prompt: " and drift", max_tokens: 9 },
  { max_tokens: 5, temperature: 0 },
  { prompt: " né🙂", seed: 4, max_tokens: 6 },
  {},
];

describe("sessions in memory", () => {
  beforeAll(async () => {
    server = await startServer(model, ["--state-imports", "any"]);
  });
  afterAll(() => server?.stop());
  kept();
  endpoints();
});

describe.skipIf(lackingRedis !== "")(`sessions in Redis${lackingRedis}`, () => {
  let redis: TestRedis;
  const flags = () => ["--session-store", redis.url];

  beforeAll(async () => {
    redis = await startRedis();
    server = await startServer(model, [...flags(), "--state-imports", "any"]);
  });
  afterAll(async () => {
    await server?.stop();
    await redis?.stop();
  });
  kept();

  it("are the same on every server that shares it, from turn to turn", async () => {
    const replicas = [server, await start(flags()), await start(flags())];
    const name = fresh();
    const texts: string[] = [];
    for (const [i, body] of CONVERSATION.entries()) {
      texts.push((await turn(name, { ...body, turn: i }, replicas[i % 3])).text);
    }
    expect(texts).toEqual(await throughStates(CONVERSATION));
    const running = await begin(name);
    const message = expectRefusal(await generate({ session: name }, replicas[1]), 409, "conflict", "session");
    expect(message).toBe(`session ${name} is in use by another request`);
    await leave(running, name);
    expect((await turn(name, {}, replicas[1])).turn).toBe(CONVERSATION.length + 1);
  });

  it("are unchanged if a server is killed within a turn, which another server then takes", async () => {
    const folder = await mkdtemp(join(tmpdir(), "resonant-sessions-"));
    await writeModel(folder);
    const replica = await startServing(["--model", folder, ...flags()]);
    try {
      const [name, control] = [fresh(), fresh()];
      for (const each of [name, control]) await turn(each, { prompt: PROMPT, seed: 11 });
      const before = await tell(name);
      const open = await begin(name, { prompt: " and drift" }, replica);
      await replica.kill();
      open.leave();
      expectRefusal(await generate({ session: name }), 409, "conflict", "session"); // the killed server's lease is still valid
      expect(await tell(name)).toEqual(before);
      let answer = await generate({ session: name, prompt: " and drift", turn: 1 });
      for (let i = 0; answer.status === 409 && i < 40; i++) {
        await sleep(1000 * Number(answer.headers.get("Retry-After")));
        answer = await generate({ session: name, prompt: " and drift", turn: 1 });
      }
      expect(answer.body).toMatchObject({ turn: 2 });
      expect(answer.body.text).toBe((await turn(control, { prompt: " and drift" })).text);
    } finally {
      await replica.kill();
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("are refused by a server of another model, and unchanged", async () => {
    const name = fresh();
    await turn(name, { prompt: PROMPT });
    const before = await tell(name);
    const stranger = await start(flags(), scripted);
    for (const stream of [false, true]) {
      const answer = await generate({ session: name, stream }, stranger);
      expect(expectRefusal(answer, 409, "conflict", "session")).toMatch(/another model/);
    }
    expect(await tell(name, stranger)).toEqual(before);
    expect((await turn(name)).turn).toBe(2);
  });

  it("are refused with 503 while Redis is down, when all else works, and are back with it", async () => {
    const own = await startRedis();
    try {
      const on = await start(["--session-store", own.url]);
      const name = fresh();
      await turn(name, { prompt: PROMPT }, on);
      const events: { event: string; data: string }[] = [];
      const body = { ...SAMPLING, session: name, prompt: PROMPT, max_tokens: 200, stream: true };
      const { response } = openRequest(`${on.url}/v1/generate`, body);
      for await (const event of readEvents(await response)) {
        if (events.length === 0) await own.kill();
        events.push(event);
      }
      const last = events.pop()!;
      expect(last.event).toBe("error"); // the turn could not be stored, so it is not reported as stored
      expect(JSON.parse(last.data)).toMatchObject({ error: "resource_error" });
      expect(events.map(({ event }) => event)).not.toContain("done");

      for (const [method, path] of [
        ["GET", "/v1/sessions"],
        ["GET", at(name)],
        ["GET", at(name, "/export")],
        ["DELETE", at(name)],
      ] as const) {
        const answer = await ask(method, path, on);
        expect(expectRefusal(answer, 503, "resource_error")).toBe("the session store cannot be reached");
        expect(Number(answer.headers.get("Retry-After"))).toBeGreaterThan(0);
      }
      expectRefusal(await generate({ session: name, prompt: PROMPT }, on), 503, "resource_error");
      expectRefusal(await post(`${on.url}${at(name, "/fork")}`, { to: "b" }), 503, "resource_error");
      expect((await generate({ prompt: PROMPT }, on)).status).toBe(200);
      expect((await ask("GET", "/readyz", on)).status).toBe(200);

      await own.start();
      const begun = async () => (await generate({ session: name, prompt: PROMPT }, on)).body.turn;
      await expect.poll(begun, { timeout: 20_000 }).toBe(1); // this Redis has forgotten
    } finally {
      await own.stop();
    }
  });

  it("wait for Redis if it is down when the server starts", async () => {
    const own = await startRedis();
    try {
      await own.kill();
      const on = await start(["--session-store", own.url.replace("//", "//:secret@")]);
      expect(on.log.join("")).toMatch(/WARNING - no sessions: redis:\/\/127/);
      expectRefusal(await ask("GET", "/v1/sessions", on), 503, "resource_error");
      expect((await generate({ prompt: PROMPT }, on)).status).toBe(200);
      expect(on.log.join("")).not.toContain("secret");
    } finally {
      await own.stop();
    }
  });
});

/** Tests that hold for every session store. */
function kept(): void {
  it("give the same text, turn after turn, as the same turns through states", async () => {
    const name = fresh();
    const texts: string[] = [];
    for (const [i, body] of CONVERSATION.entries()) {
      const answer = await turn(name, { ...body, turn: i });
      expect(answer).toMatchObject({ session: name, turn: i + 1, prompt: body.prompt ?? "" });
      expect(answer).not.toHaveProperty("state");
      texts.push(answer.text);
    }
    expect(texts).toEqual(await throughStates(CONVERSATION));
  });

  it("give the same text as one uninterrupted generation, also in streams", async () => {
    const name = fresh();
    const whole = await generate({ prompt: PROMPT, seed: 8, max_tokens: 24 });
    let text = "";
    for (let i = 0; i < 4; i++) {
      const body = { ...SAMPLING, session: name, prompt: i ? "" : PROMPT, seed: 8, max_tokens: 6 };
      const events = await postStream(`${server.url}/v1/generate`, { ...body, stream: true });
      const last = events.pop()!;
      expect(last.event).toBe("done");
      expect(JSON.parse(last.data)).toMatchObject({ session: name, turn: i + 1 });
      text += events.map(({ data }) => JSON.parse(data).text).join("");
    }
    expect(text).toBe(whole.body.text);
  });

  it("are described correctly", async () => {
    const name = fresh();
    const began = Date.now();
    const first = await turn(name, { prompt: PROMPT, max_tokens: 5 });
    const told = await tell(name);
    // The last token is not fed before the next turn.
    const position = (await model.encode(PROMPT)).length + 4;
    expect(told).toMatchObject({ name, turn: 1, position, text: first.text, fingerprint: model.fingerprint });
    expect(told.bytes).toBe((await exported(name)).length);
    expect(Date.parse(told.created)).toBeGreaterThanOrEqual(began - 1);
    const second = await turn(name, { max_tokens: 3 });
    expect(await tell(name)).toMatchObject({
      turn: 2,
      position: position + 3,
      text: second.text,
      created: told.created,
    });
  });

  it("are unchanged if a client disconnects within a turn; the repeated turn gives the same text", async () => {
    const [name, control] = [fresh(), fresh()];
    for (const each of [name, control]) await turn(each, { prompt: PROMPT, seed: 5 });
    const before = await tell(name);
    const state = await exported(name);
    await leave(await begin(name, { prompt: " and drift" }), name);
    await until(() => server.log.some((line) => / 499 /.test(line)), "logged as left");
    expect(await tell(name)).toEqual(before);
    expect(Buffer.compare(await exported(name), state)).toBe(0);
    const again = await turn(name, { prompt: " and drift", turn: 1, max_tokens: 20 });
    expect(again.text).toBe((await turn(control, { prompt: " and drift", max_tokens: 20 })).text);
  });

  it("do not exist if the client disconnects within the first turn", async () => {
    const name = fresh();
    await leave(await begin(name), name);
    expectRefusal(await ask("GET", at(name)), 404, "not_found", "name");
    expect((await turn(name, { prompt: PROMPT, turn: 0 })).turn).toBe(1);
  });

  it("are unchanged if a turn is refused", async () => {
    const name = fresh();
    await turn(name, { prompt: PROMPT });
    const before = await tell(name);
    expectRefusal(await generate({ session: name, max_tokens: 0 }), 400, "validation_error", "max_tokens");
    expectRefusal(
      await generate({ session: name, readout_scale: 1 }),
      400,
      "validation_error",
      "readout_scale",
    );
    expect(await tell(name)).toEqual(before);
    expect((await turn(name, { turn: 1 })).turn).toBe(2);
  });

  it("are not overwritten if another writer changed them within the turn, whose stream ends with a conflict", async () => {
    const { sessions } = server.service;
    const name = fresh();
    await turn(name, { prompt: PROMPT });
    const body = { ...SAMPLING, session: name, prompt: PROMPT, max_tokens: 200, stream: true };
    const { response } = openRequest(`${server.url}/v1/generate`, body);
    const events: { event: string; data: string }[] = [];
    for await (const event of readEvents(await response)) {
      if (events.length === 0) {
        const { version, ...record } = (await sessions.get("public", name))!;
        await sessions.put("public", name, { ...record, turn: 5, text: "another's" }, version);
      }
      events.push(event);
    }
    expect(events.map(({ event }) => event)).not.toContain("done");
    const { event, data } = events.at(-1)!;
    expect([event, JSON.parse(data)]).toMatchObject([
      "error",
      { error: "conflict", details: { field: "session" } },
    ]);
    expect(await tell(name)).toMatchObject({ turn: 5, text: "another's" });
    expect((await turn(name)).turn).toBe(6);
  });

  it("take one request at a time, and refuse a second with 409 and a time to retry", async () => {
    const name = fresh();
    await turn(name, { prompt: PROMPT });
    const running = await begin(name);
    for (const answer of [
      await generate({ session: name }),
      await generate({ session: name, stream: true }),
      await generate({ session: name, turn: 7 }),
    ]) {
      expectRefusal(answer, 409, "conflict", "session");
      expect(answer.headers.get("Retry-After")).toBe("1");
    }
    expectRefusal(await ask("DELETE", at(name)), 409, "conflict", "name");
    expect((await tell(name)).turn).toBe(1); // reading does not wait for the turn
    expect((await post(server.url + at(name, "/fork"), { to: fresh() })).status).toBe(200);
    await leave(running, name);
    expect((await turn(name, { turn: 1 })).turn).toBe(2);
  });

  it("give a turn to only one of many simultaneous requests", async () => {
    const name = fresh();
    await turn(name, { prompt: PROMPT });
    const answers = await Promise.all(Array.from({ length: 8 }, () => generate({ session: name, turn: 1 })));
    const won = answers.filter(({ status }) => status === 200);
    expect(won).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(7);
    expect(await tell(name)).toMatchObject({ turn: 2, text: won[0]!.body.text });
  });

  it("refuse every turn but the next, and name the next", async () => {
    const name = fresh();
    const early = await generate({ session: name, prompt: PROMPT, turn: 1 });
    expect(expectRefusal(early, 409, "conflict", "turn")).toBe(`turn is 1, but session ${name} has had 0`);
    await turn(name, { prompt: PROMPT, turn: 0 });
    for (const wrong of [0, 2]) {
      const answer = await generate({ session: name, turn: wrong });
      expectRefusal(answer, 409, "conflict", "turn");
      expect(answer.body.details).toEqual({ field: "turn", value: wrong, allowed: "1" });
    }
    expect((await turn(name, { turn: 1 })).turn).toBe(2);
  });

  it("fork into independent sessions: equal for the same seed, different for others", async () => {
    const [name, same, other] = [fresh(), fresh(), fresh()];
    await turn(name, { prompt: PROMPT, seed: 6 });
    const before = await tell(name);
    for (const to of [same, other]) {
      const { status, body } = await post(server.url + at(name, "/fork"), { to });
      expect(status).toBe(200);
      const { turn, position, bytes } = before;
      expect(v.parse(v.strictObject(sessionResponse.pipe[0].entries), body)).toMatchObject({
        ...{ name: to, turn, position, bytes },
      });
      expect((await tell(to)).text).toBe(before.text);
    }
    const kin = await turn(same, { max_tokens: 16 });
    const unlike = await turn(other, { max_tokens: 16, seed: 7 });
    expect(await tell(name)).toEqual(before);
    const own = await turn(name, { max_tokens: 16 });
    expect(kin.text).toBe(own.text);
    expect(unlike.text).not.toBe(own.text);
    expect([own.turn, kin.turn, unlike.turn]).toEqual([2, 2, 2]);
  });

  it("are not forked onto an existing or starting session, nor from a missing one", async () => {
    const [name, taken] = [fresh(), fresh()];
    for (const each of [name, taken]) await turn(each, { prompt: PROMPT });
    const fork = (from: string, to: string) => post(server.url + at(from, "/fork"), { to });
    expectRefusal(await fork(name, taken), 409, "conflict", "to");
    expectRefusal(await fork(name, name), 409, "conflict", "to");
    expectRefusal(await fork(fresh(), fresh()), 404, "not_found", "name");
    const beginning = fresh();
    const running = await begin(beginning);
    expectRefusal(await fork(name, beginning), 409, "conflict", "to");
    await leave(running, beginning);
    expect((await fork(name, beginning)).status).toBe(200);
  });

  it("continue an export on another server exactly", async () => {
    const [name, copy] = [fresh(), fresh()];
    await turn(name, { prompt: PROMPT, seed: 9 });
    const file = await exported(name);
    const elsewhere = await start();
    const { status, body } = await load(copy, file, elsewhere);
    expect(status).toBe(200);
    expect(v.parse(v.strictObject(sessionResponse.pipe[0].entries), body)).toMatchObject({
      name: copy,
      turn: 0,
      position: (await tell(name)).position,
      bytes: file.length,
      fingerprint: model.fingerprint,
    });
    expect(Buffer.compare(await exported(copy, elsewhere), file)).toBe(0);
    const there = await turn(copy, { max_tokens: 20, turn: 0 }, elsewhere);
    expect(there.text).toBe((await turn(name, { max_tokens: 20 })).text);
    expectRefusal(await load(copy, file, elsewhere), 409, "conflict", "name");
  });

  it("are gone after they are deleted", async () => {
    const name = fresh();
    expectRefusal(await ask("DELETE", at(name)), 404, "not_found", "name");
    await turn(name, { prompt: PROMPT });
    const { status, body } = await ask("DELETE", at(name));
    expect(status).toBe(200);
    expect(v.parse(v.strictObject(deletedResponse.pipe[0].entries), body)).toEqual({ name, deleted: true });
    for (const more of ["", "/export"]) {
      expectRefusal(await ask("GET", at(name, more)), 404, "not_found", "name");
    }
    expect((await turn(name, { prompt: PROMPT, turn: 0 })).turn).toBe(1);
  });
}

/** Tests that do not depend on the session store. */
function endpoints(): void {
  it("can be exported to the command line, which continues with the same text", async () => {
    const folder = await mkdtemp(join(tmpdir(), "resonant-sessions-"));
    try {
      await writeModel(join(folder, "model"));
      const name = fresh();
      await turn(name, { prompt: PROMPT, seed: 10 });
      const file = join(folder, "a.state");
      await writeFile(file, await exported(name));
      const flags = ["--temperature", "1", "--top-k", "0", "--top-p", "1", "--repetition-penalty", "1.2"];
      const at = ["--model", join(folder, "model"), "--state", file, "--state-out", join(folder, "b.state")];
      const { code, out, err } = await resonant(["generate", ...at, ...flags, "-n", "20", "--json"]);
      expect([code, err]).toEqual([0, expect.stringContaining("saved")]);
      expect(JSON.parse(out).text).toBe((await turn(name, { max_tokens: 20 })).text);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("also give a state if requested", async () => {
    const name = fresh();
    const { state } = await turn(name, { prompt: PROMPT, return_state: true });
    const through = await generate({ state, max_tokens: 12, return_state: true }); // also holds back incomplete characters
    expect(through.body.text).toBe((await turn(name, { max_tokens: 12 })).text);
  });

  it("are used, read, forked and deleted by the example client", async () => {
    const client = new ResonantClient(server.url);
    const [name, to] = [fresh(), fresh()];
    const said = await client.generate(PROMPT, { session: name, turn: 0, max_tokens: 4 });
    expect(said).toMatchObject({ session: name, turn: 1 });
    await expect(client.generate(PROMPT, { session: name, turn: 0 })).rejects.toMatchObject({ status: 409 });
    expect(await client.session(name)).toMatchObject({ turn: 1, text: said.text });
    expect(await client.forkSession(name, to)).toMatchObject({ name: to, turn: 1 });
    const { text } = await client.generate("", { session: name, max_tokens: 9 });
    expect((await client.generate("", { session: to, max_tokens: 9 })).text).toBe(text);
    await client.deleteSession(name);
    await expect(client.session(name)).rejects.toMatchObject({ status: 404 });
  });

  it("are listed by name, page after page", async () => {
    const on = await start();
    const all = ["a", "B", "a.1", "a-", "z:9", "0"];
    for (const name of all) await turn(name, { prompt: PROMPT, max_tokens: 1 }, on);
    const list = async (query: string) =>
      v.parse(
        v.strictObject(sessionsResponse.pipe[0].entries),
        (await ask("GET", `/v1/sessions${query}`, on)).body,
      );
    const whole = await list("");
    expect(whole.sessions.map(({ name }) => name)).toEqual([...all].sort());
    expect(whole.next).toBeNull();
    const pages: string[][] = [];
    for (let after = ""; ; ) {
      const { sessions, next } = await list(`?limit=4${after && `&after=${after}`}`);
      pages.push(sessions.map(({ name }) => name));
      if (next === null) break;
      after = next;
    }
    expect(pages).toEqual([
      ["0", "B", "a", "a-"],
      ["a.1", "z:9"],
    ]);
    expect((await list("?limit=6")).next).toBeNull();
    expect(await list("?after=z:9")).toEqual({ sessions: [], next: null });
  });

  it("belong to one key only", async () => {
    const on = await start(["--api-keys", "alpha,beta", "--max-sessions", "1"]);
    const by = (key: string) => ({
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    });
    const say = (key: string, body: object) => generate({ session: "a", ...body }, on, by(key).headers);
    const ours = await say("alpha", { prompt: PROMPT, seed: 1 });
    const theirs = await say("beta", { prompt: PROMPT, seed: 2, turn: 0 });
    expect([ours.status, theirs.status]).toEqual([200, 200]);
    const text = async (key: string) => (await ask("GET", at("a"), on, by(key))).body.text;
    expect([await text("alpha"), await text("beta")]).toEqual([ours.body.text, theirs.body.text]);
    expect((await ask("DELETE", at("a"), on, by("alpha"))).status).toBe(200);
    for (const [method, path] of [
      ["GET", at("a")],
      ["GET", at("a", "/export")],
      ["DELETE", at("a")],
    ] as const) {
      expectRefusal(await ask(method, path, on, by("alpha")), 404, "not_found", "name");
      expectRefusal(await ask(method, path, on), 401, "unauthorized");
      expectRefusal(await ask(method, path, on, by("gamma")), 401, "unauthorized");
    }
    expect((await ask("GET", "/v1/sessions", on, by("alpha"))).body.sessions).toEqual([]);
    expect((await ask("GET", "/v1/sessions", on, by("beta"))).body.sessions).toHaveLength(1);
    expectRefusal(await ask("GET", "/v1/sessions", on), 401, "unauthorized");
    const body = JSON.stringify({ to: "b" });
    expectRefusal(
      await ask("POST", at("a", "/fork"), on, { ...by("alpha"), body }),
      404,
      "not_found",
      "name",
    );
  });

  it("are at most MAX_SESSIONS, however another one is created", async () => {
    const on = await start(["--max-sessions", "2"]);
    for (const name of ["a", "b"]) await turn(name, { prompt: PROMPT }, on);
    const state = await exported("a", on);
    const generated = on.service.telemetry;
    const before = (await generated.metrics.write("text")).match(
      /^resonant_generation_tokens_total .*$/m,
    )?.[0];
    for (const stream of [false, true]) {
      const answer = await generate({ session: "c", prompt: PROMPT, stream }, on);
      expect(expectRefusal(answer, 409, "conflict", "session")).toMatch(/2 sessions.*MAX_SESSIONS/);
    }
    expect((await generated.metrics.write("text")).match(/^resonant_generation_tokens_total .*$/m)?.[0]).toBe(
      before,
    );
    expectRefusal(await post(on.url + at("a", "/fork"), { to: "c" }), 409, "conflict", "to");
    expectRefusal(await load("c", state, on), 409, "conflict", "name");
    expect((await turn("b", {}, on)).turn).toBe(2);
    await ask("DELETE", at("a"), on);
    expect((await load("c", state, on)).status).toBe(200);
  });

  it("are forgotten SESSION_TTL_S after their last use", async () => {
    const on = await start(["--session-ttl", "2"]);
    await turn("a", { prompt: PROMPT }, on);
    const { body } = await ask("GET", at("a"), on);
    expect(Date.parse(body.expires) - Date.now()).toBeLessThanOrEqual(2000);
    // Does not read the session, because that renews it.
    const count = async () => (await ask("GET", "/v1/sessions", on)).body.sessions.length;
    await expect.poll(count, { timeout: 20_000, interval: 200 }).toBe(0);
    expectRefusal(await ask("GET", at("a"), on), 404, "not_found", "name");
    expectRefusal(await generate({ session: "a", prompt: PROMPT, turn: 1 }, on), 409, "conflict", "turn");
  });

  it("need a prompt to begin, and none to continue", async () => {
    const name = fresh();
    for (const body of [{}, { prompt: "" }]) {
      const answer = await post(`${server.url}/v1/generate`, { session: name, ...body });
      const message = expectRefusal(answer, 404, "not_found", "session");
      expect(message).toBe(`there is no session ${name}. Begin it with a prompt`);
    }
    await turn(name, { prompt: PROMPT });
    expect((await post(`${server.url}/v1/generate`, { session: name, max_tokens: 2 })).status).toBe(200);
  });

  it.each<[field: string, body: object, allowed: string]>([
    ["state", { session: "a", state: "AAAA" }, "left out if session is given"],
    ["turn", { turn: 0 }, "left out if no session is given"],
    ["turn", { turn: 0, session: null }, "left out if no session is given"],
    ["turn", { session: "a", turn: -1 }, "between 0 and 9007199254740991"],
    ["turn", { session: "a", turn: 0.5 }, "an integer between 0 and 9007199254740991"],
    ...["", ".a", "-", "a/b", "a b", "ä", "a\n", "a".repeat(129), 5, ["a"]].map(
      (session): [string, object, string] => [
        "session",
        { session },
        "1 to 128 letters, digits and any of . _ : -, beginning with a letter or digit",
      ],
    ),
  ])("are refused by name in /v1/generate: %s of %j", async (field, body, allowed) => {
    const answer = await generate({ prompt: PROMPT, ...body });
    expect(expectRefusal(answer, 400, "validation_error", field)).toBe(`${field} must be ${allowed}`);
  });

  it.each([
    ["name", at(".a")],
    ["name", at("a%2Fb")],
    ["name", at("a%20b")],
    ["name", at("%E0%A4%A")],
    ["name", at("a".repeat(129))],
    ["name", at("%00", "/export")],
    ["limit", "/v1/sessions?limit=0"],
    ["limit", "/v1/sessions?limit=1001"],
    ["limit", "/v1/sessions?limit=-1"],
    ["limit", "/v1/sessions?limit=1.5"],
    ["limit", "/v1/sessions?limit="],
    ["limit", "/v1/sessions?limit=ten"],
    ["limit", "/v1/sessions?limit=1&limit=2"],
    ["after", "/v1/sessions?after=%2F"],
    ["after", "/v1/sessions?after="],
  ])("are refused by name in a URL: %s of %s", async (field, path) => {
    const answer = await ask("GET", path);
    expect(expectRefusal(answer, 400, "validation_error", field)).toContain(`${field} must be `);
  });

  it("have their own paths and methods", async () => {
    for (const path of [at("a/b"), at("a", "/fork/b"), at(""), "/v1/sessions/"]) {
      expectRefusal(await ask("GET", path), 404, "not_found");
    }
    const allowed = {
      "/v1/sessions": "GET, HEAD",
      [at("a")]: "GET, HEAD, DELETE",
      [at("a", "/fork")]: "POST",
      [at("a", "/export")]: "GET, HEAD",
      [at("a", "/import")]: "POST",
    };
    for (const [path, methods] of Object.entries(allowed)) {
      const answer = await ask("PUT", path);
      expectRefusal(answer, 405, "method_not_allowed");
      expect(answer.headers.get("Allow")).toBe(methods);
    }
    expectRefusal(await post(server.url + at("a", "/fork"), {}), 400, "validation_error", "to");
    expectRefusal(await post(server.url + at("a", "/fork"), { to: "/" }), 400, "validation_error", "to");
  });

  it("name an exported file after the session", async () => {
    const name = `${"a:b_c.d-".repeat(16)}`;
    await turn(name, { prompt: PROMPT, max_tokens: 1 });
    expect((await exported(name)).length).toBeGreaterThan(1000);
  });

  it("can be read, exported and imported while all slots are in use", async () => {
    const on = await start(["--max-batch-size", "1", "--max-queue-size", "0"]);
    await turn("a", { prompt: PROMPT }, on);
    const state = await exported("a", on);
    const running = await begin("b", {}, on);
    expectRefusal(await generate({ session: "c", prompt: PROMPT }, on), 503, "resource_error");
    expect((await load("d", state, on)).status).toBe(200);
    await leave(running, "b", on);
    expect((await turn("c", { prompt: PROMPT }, on)).turn).toBe(1); // the refused turn did not reserve the name
  });

  it("are imported with the signature of their export, by the key that it was given to", async () => {
    const keys = ["--api-keys", "alpha,beta", "--state-imports", "signed"];
    const secret = ["--state-secret", "sixteen characters at least"];
    const [on, elsewhere, stranger] = [
      await start([...keys, ...secret]),
      await start([...keys, ...secret]),
      await start(keys),
    ];
    const [alpha, beta] = ["alpha", "beta"].map((key) => ({ Authorization: `Bearer ${key}` }));
    expect((await generate({ session: "a", prompt: PROMPT }, on, alpha)).status).toBe(200);
    const response = await fetch(on.url + at("a", "/export"), { headers: alpha! });
    const state = new Uint8Array(await response.arrayBuffer());
    const signature = { "X-State-Signature": response.headers.get("X-State-Signature") ?? "" };

    expect((await load("b", state, elsewhere, { ...alpha, ...signature })).status).toBe(200);
    const field = "X-State-Signature";
    expectRefusal(await load("c", state, on, { ...alpha }), 403, "forbidden", field);
    const others = await load("c", state, on, { ...beta, ...signature });
    expect(expectRefusal(others, 409, "conflict", field)).toContain("another API key");
    const foreign = await load("c", state, stranger, { ...alpha, ...signature });
    expect(expectRefusal(foreign, 409, "conflict", field)).toContain("another secret");
    const changed = await load("c", altered(state, 1), on, { ...alpha, ...signature });
    expectRefusal(changed, 409, "conflict", field);
  });

  it("hold no number that a model could not make, and compute with all others", async () => {
    const name = fresh();
    await turn(name, { prompt: PROMPT });
    const state = await exported(name);
    for (const value of [3e38, -(2 ** 24) - 2, Number.POSITIVE_INFINITY, Number.NaN]) {
      const imported = await load(fresh(), altered(state, value));
      const said = expectRefusal(imported, 400, "validation_error", "body");
      expect(said).toMatch(/^body: state\.0\.conv holds .*finite and at most 16777216/);
      const token = server.service.states.sign(altered(state, value), "public");
      expectRefusal(await generate({ state: token }), 400, "validation_error", "state");
    }
    for (const value of [2 ** 24, -(2 ** 24)]) {
      const to = fresh();
      expect((await load(to, altered(state, value))).status).toBe(200);
      expect((await turn(to)).tokens_generated).toBe(8);
    }
  });

  describe("refuse to import", () => {
    let state: Uint8Array<ArrayBuffer>;
    let name: string;

    beforeEach(async () => {
      name = fresh();
      await turn(name, { prompt: PROMPT, max_tokens: 3 });
      state = await exported(name);
    });

    const expectNothing = async (body: Uint8Array<ArrayBuffer>, message: RegExp): Promise<void> => {
      const to = fresh();
      expect(expectRefusal(await load(to, body), 409, "conflict", "body")).toMatch(message);
      expectRefusal(await ask("GET", at(to)), 404, "not_found", "name");
    };

    it("a file that is damaged anywhere, or truncated", async () => {
      for (const place of [0, 9, 100, 0.3, 0.6, 0.99].map((p) => Math.floor(p < 1 ? p * state.length : p))) {
        const changed = state.slice();
        changed[place]! ^= 1;
        await expectNothing(changed, /^body: /);
      }
      for (const length of [1, 8, 1000, state.length - 1])
        await expectNothing(state.slice(0, length), /damaged/);
      await expectNothing(Uint8Array.from([...state, 0]), /damaged/);
      await expectNothing(new Uint8Array(Buffer.from("no state")), /no state, or a damaged one/);
    });

    it("another version of the format, also in a stored session", async () => {
      const [from, to] = ['"version":"1"', '"version":"2"'].map((text) => Buffer.from(text));
      const later = Uint8Array.from(state);
      const place = Buffer.from(state).indexOf(from!);
      expect(place).toBeGreaterThan(0);
      later.set(to!, place);
      await expectNothing(later, /version 2; this engine reads version 1/);
      const record = { turn: 1, position: 3, fingerprint: model.fingerprint, text: "", state: later };
      await server.service.sessions.put("public", "later", record, undefined);
      const answer = await generate({ session: "later" });
      expect(expectRefusal(answer, 409, "conflict", "session")).toMatch(/version 2/);
      expect((await tell("later")).turn).toBe(1);
    });

    it("another model's", async () => {
      const other = await start([], scripted);
      await turn("a", { prompt: "a" }, other);
      await expectNothing(await exported("a", other), /another model/);
    });

    it("an empty body, another content type, and a file that is too large", async () => {
      const none = await load(fresh(), new Uint8Array());
      expectRefusal(none, 400, "validation_error", "body");
      const init = { body: state, headers: { "Content-Type": "application/json" } };
      expectRefusal(await ask("POST", at(fresh(), "/import"), server, init), 415, "unsupported_media_type");
      const large = await start(["--max-body-bytes", "1000"]);
      expectRefusal(await load(fresh(), state, large), 413, "payload_too_large");
    });
  });

  it.each([
    "memcached://user:hocus@host",
    "redis:",
    "redis://",
    "redis://:hocus@host/zero",
    "redis://:hocus@host?db=1",
    "redis://:hocus%@host",
    "Redis",
    "",
  ])("are kept in no such store, which is said without its password: %s", async (url) => {
    const failed = await startServer(undefined, ["--session-store", url]).catch((error: Error) => error);
    expect(failed).toBeInstanceOf(Error);
    const { message } = failed as Error;
    expect(message).toMatch(/^SESSION_STORE: it is neither memory nor a Redis URL\. Write redis:/);
    expect(message).not.toContain("hocus");
  });

  it("leave none of their text in the log", () => {
    expect(server.log.join("")).toMatch(/POST \/v1\/generate - Status: 200/);
    expect(server.log.join("")).not.toMatch(/oscillators|and drift/);
  });
}
