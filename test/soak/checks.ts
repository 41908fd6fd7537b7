import assert from "node:assert/strict";
import { below, type Random } from "../../bench/random.ts";
import { contentOf, jsonOf, type Leaving, type Reply } from "./http.ts";

/** The parts of an answer that the request determines. */
export const answerOf = (reply: Reply): string => JSON.stringify(contentOf(reply));

/** @throws Error if the answer is another one, naming the first difference */
export function checkAnswer(reply: Reply, expected: string): void {
  const found = answerOf(reply);
  let at = 0;
  while (at < expected.length && expected[at] === found[at]) at++;
  const around = (text: string): string => text.slice(Math.max(0, at - 200), at + 200);
  assert(found === expected, `at ${at}: …${around(expected)}… became …${around(found)}…`);
}

/** Returns a check that the answer is an error in the API's format. */
export const isRefused =
  (status: number) =>
  (reply: Reply): void => {
    assert.equal(reply.status, status);
    errorOf(reply);
  };

/** Returns the code of an error in either of the API's formats. @throws Error if it has neither format */
export function errorOf(reply: Reply): string {
  const { error } = jsonOf(reply) as { error?: string | { code?: string } };
  const word = typeof error === "string" ? error : error?.code;
  assert(word, `no error in ${reply.bytes}`);
  return word;
}

/** Returns the body of a successful answer; of a stream, the data of its event `done`. */
// biome-ignore lint/suspicious/noExplicitAny: what a check then compares
export function bodyOf(reply: Reply): any {
  assert.equal(reply.status, 200);
  const content = contentOf(reply) as { choices?: Record<string, unknown[]> };
  return content.choices ? content.choices["done "]![0] : jsonOf(reply);
}

/** When a client disconnects: before the answer, or within a stream. */
export function leavingOf(random: Random, stream: boolean): Leaving {
  if (stream && random() < 0.6) return { parts: below(random, 8) };
  return { milliseconds: below(random, 1500) };
}
