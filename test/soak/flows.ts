import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { below, oneOf } from "../../bench/random.ts";
import { type Client, errorOf } from "./client.ts";
import { type Ask, contentOf, jsonOf, type Leaving, type Reply } from "./http.ts";
import { refusals } from "./refusals.ts";
import { type Known, prose } from "./requests.ts";

/** A request, and the only answer to it. */
export interface Recorded extends Known {
  readonly answer: string;
}

/** Turns of a session, and what each says. */
export interface RecordedSession {
  readonly turns: readonly Readonly<Record<string, unknown>>[];
  readonly texts: readonly string[];
}

/** What was asked of the server alone, before the soak. */
export interface Recording {
  readonly model: string;
  readonly fingerprint: string;
  readonly known: readonly Recorded[];
  /** A request that gives its state, and the one that continues it. */
  readonly continued: readonly (readonly [first: Recorded, rest: Recorded])[];
  /** None where the server has no sessions. */
  readonly sessions: readonly RecordedSession[];
}

/** What a client does in one go. */
export interface Flow {
  /** How often it is chosen, beside the others. */
  readonly weight: number;
  run(client: Client, recording: Recording): Promise<void>;
}

export const answerOf = (reply: Reply): string => JSON.stringify(contentOf(reply));

const isAnswer =
  ({ answer }: Recorded) =>
  (reply: Reply): void => {
    const found = answerOf(reply);
    let at = 0;
    while (at < answer.length && answer[at] === found[at]) at++;
    const around = (text: string): string => text.slice(Math.max(0, at - 200), at + 200);
    assert(found === answer, `at ${at} of ${answer.length}: …${around(answer)}… became …${around(found)}…`);
  };

const isRefused =
  (status: number) =>
  (reply: Reply): void => {
    assert.equal(reply.status, status);
    errorOf(reply);
  };

/** The answer's body. */
// biome-ignore lint/suspicious/noExplicitAny: what a check then compares
function bodyOf(reply: Reply): any {
  assert.equal(reply.status, 200);
  return jsonOf(reply);
}

const pages: readonly [Ask["path"], check: (reply: Reply, recording: Recording) => void][] = [
  ["/", (reply) => assert.equal(bodyOf(reply).name, "Resonant API")],
  ["/v1/health", (reply) => assert.equal(bodyOf(reply).status, "healthy")],
  ["/livez", (reply) => assert.equal(bodyOf(reply).status, "alive")],
  ["/readyz", (reply) => assert.equal(bodyOf(reply).status, "ready")],
  ["/v1/models", (reply, { model }) => assert.equal(bodyOf(reply).data[0].id, model)],
  ["/v1/model/info", (reply, { fingerprint }) => assert.equal(bodyOf(reply).fingerprint, fingerprint)],
  ["/metrics", (reply) => assert.match(String(reply.bytes), /^resonant:num_requests_running \d+$/m)],
  ["/openapi.json", (reply) => assert(bodyOf(reply).paths["/v1/generate"])],
  ["/docs", (reply) => assert.match(String(reply.bytes), /<html/)],
];

/** Before the answer, or in the midst of a stream. */
function leavingOf(client: Client, stream: boolean): Leaving {
  if (stream && client.random() < 0.6) return { parts: below(client.random, 8) };
  return { milliseconds: below(client.random, 1500) };
}

export const flows: Readonly<Record<string, Flow>> = {
  "a known request": {
    weight: 50,
    async run(client, { known }) {
      const request = oneOf(client.random, known);
      await client.ask(request.kind, request, isAnswer(request));
    },
  },
  "a client that leaves": {
    weight: 15,
    async run(client, { known }) {
      const request = oneOf(client.random, known);
      await client.ask(
        "left early",
        request,
        isAnswer(request),
        leavingOf(client, request.body.stream === true),
      );
    },
  },
  "bad input": {
    weight: 12,
    async run(client, { model }) {
      const refusal = oneOf(client.random, refusals(model));
      await client.ask("bad input", refusal, isRefused(refusal.status));
    },
  },
  "a page": {
    weight: 8,
    async run(client, recording) {
      const [path, check] = oneOf(client.random, pages);
      await client.ask(path, { path }, (reply) => check(reply, recording));
    },
  },
  "a needle of its own": {
    weight: 8,
    async run(client) {
      const { random } = client;
      const needle = `${client.name} hid ${below(random, 1e9)}`;
      const before = prose(random, below(random, 1500));
      const context = `${before}${needle}${prose(random, below(random, 1500))}`;
      const [start, end] = [before.length, before.length + needle.length];
      await client.ask(
        "own needle",
        { path: "/v1/retrieve", body: { context, needle, top_k: 2 } },
        (reply) => {
          const [match] = bodyOf(reply).matches;
          assert.deepEqual([match.text, match.start, match.end], [needle, start, end]);
        },
      );
    },
  },
  "a state, continued and damaged": {
    weight: 5,
    async run(client, { continued }) {
      const [first, rest] = oneOf(client.random, continued);
      const reply = await client.ask(first.kind, first, isAnswer(first));
      if (!reply) return;
      const { state } = bodyOf(reply) as { state: string };
      const continuing = (state: string): Ask => ({ ...rest, body: { ...rest.body, state } });
      await client.ask(rest.kind, continuing(state), isAnswer(rest));
      const at = below(client.random, state.length - 1);
      const damaged = `${state.slice(0, at)}${state[at] === "A" ? "B" : "A"}${state.slice(at + 1)}`;
      await client.ask("damaged state", continuing(damaged), isRefused(409));
    },
  },
};

/** Names of sessions are never used twice. */
let sessions = 0;

const sessionPath = (name: string, action = ""): string => `/v1/sessions/${name}${action}`;

/** Asks for a turn, once more where an earlier asking, which its client left, still holds the session; or leaves, too. */
async function turn(
  client: Client,
  name: string,
  { turns, texts }: RecordedSession,
  n: number,
  { leave, leftBefore = false }: { leave?: Leaving; leftBefore?: boolean } = {},
): Promise<void> {
  const stream = leave !== undefined && "parts" in leave;
  const ask = { path: "/v1/generate", body: { ...turns[n], session: name, turn: n, stream } };
  for (let held = true; held; ) {
    held = false;
    await client.ask(
      leave ? "session, left early" : "session",
      ask,
      (reply) => {
        if (reply.status === 409 && leftBefore) {
          const { field } = (jsonOf(reply) as { details: { field: string } }).details;
          assert(field === "session" || field === "turn", "a conflict over neither session nor turn");
          held = field === "session"; // else the turn was kept before its client had left
          return;
        }
        if (stream) return void contentOf(reply);
        const { text, session, turn } = bodyOf(reply);
        assert.deepEqual({ text, session, turn }, { text: texts[n], session: name, turn: n + 1 });
      },
      leave,
    );
    if (held) await sleep(1000);
  }
}

/** Turns, one of them left and asked again; a fork, an export and an import that go on alike; others' keys; the end. */
export const sessionFlow: Flow = {
  weight: 6,
  async run(client, recording) {
    const script = oneOf(client.random, recording.sessions);
    const name = `${client.name}.${++sessions}`;
    const last = script.turns.length - 1;
    const check = (reply: Reply): void => {
      const { turn, text } = bodyOf(reply);
      assert.deepEqual({ turn, text }, { turn: last, text: script.texts[last - 1] });
    };
    for (let n = 0; n < last; n++) {
      const leftBefore = client.random() < 0.3;
      if (leftBefore)
        await turn(client, name, script, n, { leave: leavingOf(client, client.random() < 0.5) });
      await turn(client, name, script, n, { leftBefore });
    }
    if (!(await client.ask("session, read", { path: sessionPath(name) }, check))) return;
    const fork = { path: sessionPath(name, "/fork"), body: { to: `${name}.fork` } };
    await client.ask("session, forked", fork, (reply) => assert.equal(bodyOf(reply).turn, last));
    const file = await client.ask("session, exported", { path: sessionPath(name, "/export") }, (reply) => {
      assert.equal(reply.status, 200);
    });
    if (!file) return;
    const importing = (to: string, body: Uint8Array): Ask => ({
      path: sessionPath(to, "/import"),
      headers: { "Content-Type": "application/octet-stream" },
      body,
    });
    await client.ask(
      "session, imported",
      importing(`${name}.import`, file.bytes),
      (reply) => void bodyOf(reply),
    );
    const cut = file.bytes.subarray(0, below(client.random, file.bytes.length));
    await client.ask("session, import of a damaged file", importing(`${name}.cut`, cut), (reply) => {
      assert(reply.status === 400 || reply.status === 409, `status ${reply.status}`);
    });
    for (const each of [name, `${name}.fork`]) await turn(client, each, script, last);
    for (const each of [name, `${name}.fork`, `${name}.import`]) {
      await client.ask("session, deleted", { method: "DELETE", path: sessionPath(each) }, (reply) => {
        assert.deepEqual(bodyOf(reply), { name: each, deleted: true });
      });
    }
    await client.ask("session, gone", { path: sessionPath(name) }, isRefused(404));
  },
};
