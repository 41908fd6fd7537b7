import assert from "node:assert/strict";
import { below, oneOf } from "../../bench/random.ts";
import { bodyOf, checkAnswer, isRefused, leavingOf } from "./checks.ts";
import type { Client } from "./client.ts";
import type { Ask, Reply } from "./http.ts";
import { refusals } from "./refusals.ts";
import { type Known, prose } from "./requests.ts";

/** A request and its only right answer. */
export interface Recorded extends Known {
  readonly answer: string;
}

/** The turns of a session, and the text of each. */
export interface RecordedSession {
  readonly turns: readonly Readonly<Record<string, unknown>>[];
  readonly texts: readonly string[];
}

/** Requests and their answers, recorded before the soak without other load. */
export interface Recording {
  readonly model: string;
  readonly fingerprint: string;
  readonly known: readonly Recorded[];
  /** A request that returns its state, and a request that continues it. */
  readonly continued: readonly (readonly [first: Recorded, rest: Recorded])[];
  /** Empty if the server has no sessions. */
  readonly sessions: readonly RecordedSession[];
}

/** One activity of a client. */
export interface Flow {
  /** Relative frequency with which it is chosen. */
  readonly weight: number;
  run(client: Client, recording: Recording): Promise<void>;
}

const isAnswer =
  ({ answer }: Recorded) =>
  (reply: Reply): void =>
    checkAnswer(reply, answer);

const pages: readonly [Ask["path"], check: (reply: Reply, recording: Recording) => void][] = [
  ["/", (reply) => assert.equal(bodyOf(reply).name, "Resonant API")],
  ["/v1/health", (reply) => assert.equal(bodyOf(reply).status, "healthy")],
  ["/livez", (reply) => assert.equal(bodyOf(reply).status, "alive")],
  ["/readyz", (reply) => assert.equal(bodyOf(reply).status, "ready")],
  ["/v1/models", (reply, { model }) => assert.equal(bodyOf(reply).data[0].id, model)],
  ["/v1/model/info", (reply, { fingerprint }) => assert.equal(bodyOf(reply).fingerprint, fingerprint)],
  ["/metrics", (reply) => assert.match(String(reply.bytes), /^resonant_num_requests_running \d+$/m)],
  ["/openapi.json", (reply) => assert(bodyOf(reply).paths["/v1/generate"])],
  ["/docs", (reply) => assert.match(String(reply.bytes), /<html/)],
];

/** The activities that a server of any model supports, by name. */
export const flows: Readonly<Record<string, Flow>> = {
  "a known request": {
    weight: 50,
    async run(client, { known }) {
      const request = oneOf(client.random, known);
      await client.ask(request.kind, request, isAnswer(request));
    },
  },
  "a client that disconnects": {
    weight: 15,
    async run(client, { known }) {
      const request = oneOf(client.random, known);
      await client.ask(
        "left early",
        request,
        isAnswer(request),
        leavingOf(client.random, request.body.stream === true),
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
  "a search for its own needle": {
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
