import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@redis/client";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { collect } from "../engine/generate.ts";
import { resonant } from "./cli.ts";
import { lackingPrograms, Replica, Store, startNginx } from "./cluster.ts";
import { testGpu } from "./gpu.ts";
import { loadDefault } from "./models.ts";
import { eventually, freePort } from "./processes.ts";
import { type Answer, openRequest, post, readEvents } from "./server.ts";

/** Milliseconds; a server without cached shaders takes a while to start. */
const PATIENCE = 300_000;
const SAMPLING = { temperature: 1, top_k: 0, top_p: 1, repetition_penalty: 1.2 };
const ENGINE_SAMPLING = { temperature: 1, topK: 0, topP: 1, repetitionPenalty: 1.2 };

describe.skipIf(lackingPrograms !== "")(`two replicas${lackingPrograms}`, () => {
  let folder: string;
  let url: string;
  let store: Store;
  let replicas: readonly [Replica, Replica];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "resonant-replicas-"));
    store = await Store.start(folder);
    const env = { STATE_SECRET: "one secret for both of them", SESSION_STORE: store.url };
    replicas = [new Replica(await freePort(), env), new Replica(await freePort(), env)];
    // The second server reuses the shaders that the first has compiled.
    for (const each of replicas) await each.start();
    url = await startNginx(folder, [replicas[0].port, replicas[1].port]);
  }, PATIENCE);

  beforeEach(bothWork, PATIENCE);

  afterAll(async () => {
    await Promise.all((replicas ?? []).map((each) => each.kill()));
    await rm(folder, { recursive: true, force: true });
  });

  /** Returns the replicas that nginx tried for a request, from its log, which it writes when the request is done. */
  async function triedFor(headers: Headers): Promise<(Replica | undefined)[]> {
    const id = headers.get("X-Request-Id");
    const line = await eventually(`nginx has logged ${id}`, async () => {
      const lines = (await readFile(join(folder, "access.log"), "utf8")).split("\n");
      return lines.find((each) => each.includes(`"id":"${id}"`) && each.endsWith("}"));
    });
    const { upstream } = JSON.parse(line) as { upstream: string };
    return upstream.split(", ").map((one) => replicas.find(({ port }) => one === `127.0.0.1:${port}`));
  }

  /** Returns the replica that answered a request. */
  const servedBy = async (headers: Headers): Promise<Replica | undefined> => (await triedFor(headers)).at(-1);

  /** Restarts dead replicas, and waits until nginx uses both. */
  async function bothWork(): Promise<void> {
    await Promise.all(replicas.filter(({ alive }) => !alive).map((each) => each.start()));
    const found = new Set<Replica>();
    await eventually("nginx leads to both", async () => {
      const { headers } = await fetch(`${url}/v1/health`);
      found.add((await servedBy(headers))!);
      return found.size === 2 || undefined;
    });
  }

  const other = (replica: Replica): Replica => replicas.find((each) => each !== replica)!;
  const generate = (body: object): Promise<Answer> => post(`${url}/v1/generate`, { ...SAMPLING, ...body });
  const session = async (path: string): Promise<Response> => fetch(`${url}/v1/sessions/${path}`);

  /** Sends a request again after `Retry-After` if it is refused temporarily. */
  async function insist(ask: () => Promise<Answer>): Promise<Answer> {
    return eventually("it is no longer refused", async () => {
      const answer = await ask();
      const wait = answer.headers.get("Retry-After");
      if (answer.status === 200 || wait === null) return answer;
      expect([409, 503]).toContain(answer.status);
      await new Promise((resolve) => setTimeout(resolve, 1000 * Number(wait)));
      return undefined;
    });
  }

  it("continue each other's states, under one STATE_SECRET", async () => {
    const asked = { prompt: "JULIET:\n", seed: 3 };
    const whole = await generate({ ...asked, max_tokens: 32 });
    const seen: (Replica | undefined)[] = [];
    let text = "";
    let from: object = asked;
    for (let part = 0; part < 4; part++) {
      const { status, headers, body } = await generate({ ...from, max_tokens: 8, return_state: true });
      expect(status).toBe(200);
      seen.push(await servedBy(headers));
      text += body.text;
      from = { prompt: "", state: body.state };
    }
    expect(text).toBe(whole.body.text);
    expect(seen).toEqual([seen[0], other(seen[0]!), seen[0], other(seen[0]!)]);
  });

  it("replace a dead one without an error for any client", async () => {
    const [dead, alive] = replicas;
    await dead.kill();
    const tried: (Replica | undefined)[][] = [];
    for (let request = 0; request < 4; request++) {
      const { status, headers } = await generate({ prompt: "VOLUMNIA:\n", max_tokens: 1 });
      expect(status).toBe(200);
      tried.push(await triedFor(headers));
    }
    expect(tried.map((servers) => servers.at(-1))).toEqual([alive, alive, alive, alive]);
    expect(tried).toContainEqual([dead, alive]);
  });

  it(
    "continue a conversation with turns on both, although one dies at work and then the other",
    async () => {
      const speakers = ["ROMEO", "JULIET", "Nurse", "", "ROMEO", "JULIET", "Both", ""];
      // The interrupted requests are long, so that they still run then.
      const asked = speakers.map((speaker, turn) => ({
        prompt: speaker && `\n${speaker}:\n`,
        max_tokens: [2, 6].includes(turn) ? 150 : 12,
        ...(turn === 0 ? { seed: 11 } : {}),
      }));
      const name = `romeo-${randomUUID()}`;
      const ask = (turn: number): Promise<Answer> => generate({ ...asked[turn], session: name, turn });
      const texts: string[] = [];
      const seen: Replica[] = [];
      const take = async (turn: number): Promise<Replica> => {
        const { status, headers, body } = await insist(() => ask(turn));
        expect([status, body.message, body.session, body.turn]).toEqual([200, undefined, name, turn + 1]);
        texts.push(body.text);
        const replica = (await servedBy(headers))!;
        seen.push(replica);
        return replica;
      };

      await take(0);
      await take(1);

      // One replica dies while it sends its response.
      const stream = openRequest(`${url}/v1/generate`, {
        ...SAMPLING,
        ...asked[2],
        session: name,
        turn: 2,
        stream: true,
      });
      const events: string[] = [];
      const first = seen[0]!;
      const reading = (async () => {
        for await (const { event } of readEvents(await stream.response)) {
          if (events.push(event) === 1) await first.kill();
        }
      })();
      await expect(reading).rejects.toThrow();
      expect(events.length).toBeGreaterThan(0);
      expect(events).not.toContain("done");
      expect(await take(2)).toBe(other(first));
      expect(await take(3)).toBe(other(first));

      // It comes back and receives requests again.
      await bothWork();
      await take(4);
      await take(5);

      // The other one dies before it has sent anything.
      await bothWork();
      const plain = ask(6);
      const dying = await eventually("one works", async () => {
        const works = await Promise.all(replicas.map((each) => each.works()));
        return replicas[works.indexOf(true)];
      });
      await dying.kill();
      const { status, headers, body } = await plain;
      expect([status, body.error]).toEqual([503, "resource_error"]);
      expect(Number(headers.get("Retry-After"))).toBeGreaterThan(0);
      expect(await take(6)).toBe(other(dying));
      await take(7);

      expect(seen[1]).toBe(other(seen[0]!));
      expect(seen[5]).toBe(other(seen[4]!));
      expect(await (await session(name)).json()).toMatchObject({ turn: 8, text: texts.at(-1) });

      const model = await loadDefault(await testGpu(), { slots: 1 });
      const own = model.open();
      for (const [turn, { prompt, max_tokens, seed }] of asked.entries()) {
        const options = { ...ENGINE_SAMPLING, maxTokens: max_tokens, stream: own, keepPending: true };
        const { text } = await collect(model.generate(prompt, { ...options, ...(seed ? { seed } : {}) }));
        expect([turn, texts[turn]]).toEqual([turn, text]);
      }
    },
    PATIENCE,
  );

  it("keep a turn whose response was lost, and do not take it twice", async () => {
    const name = `lost-${randomUUID()}`;
    const asked = { ...SAMPLING, prompt: "KING:\n", max_tokens: 12, seed: 5, session: name, turn: 0 };
    const body = JSON.stringify(asked);
    // A client that reads nothing and is gone when the server responds.
    const socket = connect(Number(new URL(url).port), "127.0.0.1").pause();
    await once(socket, "connect");
    const head = ["POST /v1/generate HTTP/1.1", "Host: localhost", "Content-Type: application/json"];
    socket.write(`${[...head, `Content-Length: ${Buffer.byteLength(body)}`].join("\r\n")}\r\n\r\n${body}`);
    const kept = await eventually("the turn is kept", async () => {
      const response = await session(name);
      return response.status === 404 ? undefined : await response.json();
    });
    socket.destroy();
    expect(kept.turn).toBe(1);

    const again = await insist(() => generate(asked));
    expect([again.status, again.body.error, again.body.details.field]).toEqual([409, "conflict", "turn"]);
    expect(again.headers.get("Retry-After")).toBeNull();
    const { session: _, turn: __, ...alone } = asked;
    expect(kept.text).toBe((await generate(alone)).body.text);
    expect(await (await session(name)).json()).toMatchObject({ turn: 1, text: kept.text });
  });

  it("export a session that the command line continues, and import it again", async () => {
    const [name, copy] = [`given-${randomUUID()}`, `taken-${randomUUID()}`];
    const more = { prompt: "", max_tokens: 20, turn: 1 };
    await generate({ prompt: "HAMLET:\n", max_tokens: 12, seed: 7, session: name, turn: 0 });
    const exported = await session(`${name}/export`);
    expect([exported.status, exported.headers.get("Content-Type")]).toEqual([
      200,
      "application/octet-stream",
    ]);
    const state = new Uint8Array(await exported.arrayBuffer());
    const path = join(folder, "hamlet.state");
    await writeFile(path, state);

    const { body } = await generate({ ...more, session: name });
    const flags = ["-n", "20", "-t", "1", "--top-k", "0", "--top-p", "1", "--repetition-penalty", "1.2"];
    const { code, out, err } = await resonant(["generate", "--state", path, ...flags, "--json"]);
    expect([code, err]).toEqual([0, ""]);
    expect(JSON.parse(out).text).toBe(body.text);

    const type = {
      "Content-Type": "application/octet-stream",
      "X-State-Signature": exported.headers.get("X-State-Signature") ?? "",
    };
    expect((await post(`${url}/v1/sessions/${copy}/import`, state, type)).status).toBe(200);
    const { turn } = await (await session(copy)).json();
    expect((await generate({ ...more, session: copy, turn })).body.text).toBe(body.text);
    const removed = await fetch(`${url}/v1/sessions/${copy}`, { method: "DELETE" });
    expect(await removed.json()).toEqual({ name: copy, deleted: true });
    expect((await session(copy)).status).toBe(404);
  });

  it("answer all requests but sessions while the store is down; it comes back with every turn", async () => {
    const name = `kept-${randomUUID()}`;
    const asked = { prompt: "DUKE:\n", max_tokens: 8, seed: 9, session: name };
    const { body } = await generate({ ...asked, turn: 0 });
    await store.kill();

    for (const answer of [await generate({ ...asked, turn: 1 }), await generate({ ...asked, turn: 1 })]) {
      expect([answer.status, answer.body.error]).toEqual([503, "resource_error"]);
      expect(Number(answer.headers.get("Retry-After"))).toBeGreaterThan(0);
    }
    expect((await session(name)).status).toBe(503);
    expect(await generate({ prompt: "DUKE:\n", max_tokens: 8, seed: 9 })).toMatchObject({
      status: 200,
      body: { text: body.text },
    });
    for (const { port } of replicas)
      expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);

    await store.start();
    const { status, body: next } = await insist(() => generate({ ...asked, turn: 1 }));
    expect([status, next.turn]).toEqual([200, 2]);
  });

  it("refuse turns while the store is full, and lose none", async () => {
    const name = `full-${randomUUID()}`;
    const asked = { prompt: "PORTIA:\n", max_tokens: 4, seed: 2, session: name };
    await generate({ ...asked, turn: 0 });
    const client = await createClient({ url: store.url }).connect();
    try {
      const { maxmemory } = await client.configGet("maxmemory");
      await client.configSet("maxmemory", "1");
      const refused = await generate({ ...asked, turn: 1 });
      expect([refused.status, refused.body.message]).toEqual([503, "the session store is full"]);
      expect(Number(refused.headers.get("Retry-After"))).toBeGreaterThan(0);
      expect(await (await session(name)).json()).toMatchObject({ turn: 1 });
      await client.configSet("maxmemory", maxmemory!);
    } finally {
      client.destroy();
    }
    const { status, body } = await generate({ ...asked, turn: 1 });
    expect([status, body.turn]).toEqual([200, 2]);
  });
});
