import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { below, oneOf } from "../../bench/random.ts";
import { bodyOf, isRefused, leavingOf } from "./checks.ts";
import type { Client } from "./client.ts";
import type { Flow, RecordedSession } from "./flows.ts";
import { type Ask, jsonOf, type Leaving } from "./http.ts";

/** Counts sessions, so that no name is used twice. */
let sessions = 0;

const pathOf = (name: string, action = ""): string => `/v1/sessions/${name}${action}`;

interface TurnOptions {
  /** Number of turns that the session has had. Default `n`. */
  readonly had?: number;
  /** Whether another request for this turn may hold the session or have taken the turn. */
  readonly contended?: boolean;
  readonly leave?: Leaving;
}

/** Requests turn `n` until no other request holds the session. */
async function turn(
  client: Client,
  name: string,
  { turns, texts }: RecordedSession,
  n: number,
  { had = n, contended = false, leave }: TurnOptions = {},
): Promise<void> {
  const stream = client.random() < 0.5;
  const ask = { path: "/v1/generate", body: { ...turns[n], session: name, turn: had, stream } };
  for (let held = true; held; ) {
    held = false;
    await client.ask(
      leave ? "session, left early" : "session",
      ask,
      (reply) => {
        if (reply.status === 409 && contended) {
          const { field } = (jsonOf(reply) as { details: { field: string } }).details;
          assert(field === "session" || field === "turn", "a conflict over neither session nor turn");
          held = field === "session"; // otherwise the other request has taken the turn
          return;
        }
        const { text, session, turn } = bodyOf(reply);
        assert.deepEqual({ text, session, turn }, { text: texts[n], session: name, turn: had + 1 });
      },
      leave,
    );
    if (held) await sleep(1000);
  }
}

/** Takes turns in a row: some are requested twice at once, some by a client that disconnects and repeats the request. */
async function converse(client: Client, name: string, script: RecordedSession, count: number): Promise<void> {
  const { random } = client;
  for (let n = 0; n < count; n++) {
    const chance = random();
    const ask = (options: TurnOptions): Promise<void> => turn(client, name, script, n, options);
    if (chance < 0.3) {
      await ask({ leave: leavingOf(random, true) });
      await ask({ contended: true });
    } else if (chance < 0.5) {
      await Promise.all([ask({ contended: true }), ask({ contended: true })]);
    } else {
      await ask({});
    }
  }
}

/** A session, a fork and an import of it that all go on alike, kept from those with another key, to their end. */
export const sessionFlow: Flow = {
  weight: 6,
  async run(client, { sessions: scripts }) {
    const script = oneOf(client.random, scripts);
    const name = `${client.name}.${++sessions}`;
    const [fork, copy] = [`${name}.fork`, `${name}.import`];
    const last = script.turns.length - 1;
    await converse(client, name, script, last);
    const read = await client.ask("session, read", { path: pathOf(name) }, (reply) => {
      const { turn, text } = bodyOf(reply);
      assert.deepEqual({ turn, text }, { turn: last, text: script.texts[last - 1] });
    });
    if (!read) return; // the ledger has the fault, and later turns would fail, too
    const listed = { path: `/v1/sessions?limit=100&after=${name.slice(0, -1)}` };
    await client.ask("session, listed", listed, (reply) => {
      assert(bodyOf(reply).sessions.some((session: { name: string }) => session.name === name));
    });
    const others = { path: pathOf(name), headers: client.stranger };
    await client.ask("session of another key", others, isRefused(404));

    await client.ask("session, forked", { path: pathOf(name, "/fork"), body: { to: fork } }, (reply) =>
      assert.equal(bodyOf(reply).turn, last),
    );
    const file = await client.ask("session, exported", { path: pathOf(name, "/export") }, (reply) =>
      assert.equal(reply.status, 200),
    );
    if (!file) return;
    const importing = (body: Uint8Array): Ask => ({
      path: pathOf(copy, "/import"),
      headers: {
        "Content-Type": "application/octet-stream",
        "X-State-Signature": String(file.headers["x-state-signature"]),
      },
      body,
    });
    const cut = file.bytes.subarray(0, below(client.random, file.bytes.length));
    await client.ask("session, imported damaged", importing(cut), (reply) => {
      assert(reply.status === 400 || reply.status === 409, `status ${reply.status}`);
    });
    await client.ask("session, imported", importing(file.bytes), (reply) => void bodyOf(reply));

    for (const each of [name, fork]) await turn(client, each, script, last);
    await turn(client, copy, script, last, { had: 0 });
    for (const each of [name, fork, copy]) {
      await client.ask("session, deleted", { method: "DELETE", path: pathOf(each) }, (reply) =>
        assert.deepEqual(bodyOf(reply), { name: each, deleted: true }),
      );
    }
    await client.ask("session, gone", { path: pathOf(name) }, isRefused(404));
  },
};
