import assert from "node:assert/strict";
import { below, type Random } from "../../bench/random.ts";
import { contentOf, jsonOf, type Leaving, type Reply } from "./http.ts";

/** All that a request decides of its answer. */
export const answerOf = (reply: Reply): string => JSON.stringify(contentOf(reply));

/** @throws Error where it is another answer, saying where it differs first */
export function checkAnswer(reply: Reply, expected: string): void {
  const found = answerOf(reply);
  let at = 0;
  while (at < expected.length && expected[at] === found[at]) at++;
  const around = (text: string): string => text.slice(Math.max(0, at - 200), at + 200);
  assert(found === expected, `at ${at}: …${around(expected)}… became …${around(found)}…`);
}

/** A check that the answer is an error in the API's shape. */
export const isRefused =
  (status: number) =>
  (reply: Reply): void => {
    assert.equal(reply.status, status);
    errorOf(reply);
  };

/** The word of an error, in either of the API's shapes. @throws Error where it is in neither */
export function errorOf(reply: Reply): string {
  const { error } = jsonOf(reply) as { error?: string | { code?: string } };
  const word = typeof error === "string" ? error : error?.code;
  assert(word, `no error in ${reply.bytes}`);
  return word;
}

/** The body of an answer that went well; of events that of `done`. */
// biome-ignore lint/suspicious/noExplicitAny: what a check then compares
export function bodyOf(reply: Reply): any {
  assert.equal(reply.status, 200);
  const content = contentOf(reply) as { choices?: Record<string, unknown[]> };
  return content.choices ? content.choices["done "]![0] : jsonOf(reply);
}

/** Before the answer, or in the midst of a stream. */
export function leavingOf(random: Random, stream: boolean): Leaving {
  if (stream && random() < 0.6) return { parts: below(random, 8) };
  return { milliseconds: below(random, 1500) };
}
