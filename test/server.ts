import { type IncomingMessage, request } from "node:http";
import { Command } from "commander";
import { createLogger } from "../api/log.ts";
import { type Listening, listen } from "../api/server.ts";
import { Service } from "../api/service.ts";
import { openSessionStore } from "../api/sessions/open-store.ts";
import { type ServeFlags, withServeOptions } from "../cli/serve-options.ts";
import type { Model } from "../engine/model.ts";

/** A server in this process with a model that the test owns. */
export interface TestServer extends Listening {
  readonly url: string;
  readonly service: Service;
  /** The lines of its log. */
  readonly log: readonly string[];
  /** Closes the server but not the model. */
  stop(): Promise<void>;
}

/** Returns the settings of `resonant serve` with these flags, without the environment. */
export function settingsOf(flags: readonly string[] = []): ServeFlags {
  const environment = process.env;
  process.env = {};
  try {
    return withServeOptions(new Command().exitOverride()).parse(flags, { from: "user" }).opts();
  } finally {
    process.env = environment;
  }
}

/** Serves `model`, if given, on a free port of this machine. The model must have a slot for each running request. */
export async function startServer(
  model: Model | undefined,
  flags: readonly string[] = [],
): Promise<TestServer> {
  const settings = settingsOf(["--host", "127.0.0.1", "--port", "0", ...flags]);
  const log: string[] = [];
  const logger = createLogger(settings, { write: (line: string) => log.push(line) });
  const service = new Service(settings, logger, await openSessionStore(settings, logger));
  const listening = await listen(service);
  if (model) service.serve(model);
  return {
    ...listening,
    url: `http://127.0.0.1:${listening.port}`,
    service,
    log,
    stop: async () => {
      service.close = () => service.sessions.close(); // the test owns the device
      await listening.drain();
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what a test then compares
  readonly body: any;
}

/** Posts JSON, or a raw body, and reads the response as JSON. */
export async function post(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: typeof body === "string" || body instanceof Uint8Array ? (body as BodyInit) : JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

/** A request on a socket of its own, which the test can close at any time. */
export interface OpenRequest {
  /** Resolves when the response's headers have arrived. */
  readonly response: Promise<IncomingMessage>;
  leave(): void;
}

/** Posts JSON over a new connection. */
export function openRequest(url: string, body: unknown): OpenRequest {
  const sent = request(url, {
    method: "POST",
    agent: false,
    headers: { "Content-Type": "application/json" },
  });
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    sent.once("response", resolve);
    sent.once("error", reject);
  });
  response.catch(() => undefined);
  sent.end(JSON.stringify(body));
  return { response, leave: () => sent.destroy() };
}

/** Yields the messages of server-sent events as they arrive. */
export async function* readEvents(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ event: string; data: string }, void, undefined> {
  const decoder = new TextDecoder();
  let buffer = "";
  for await (const chunk of body) {
    buffer += decoder.decode(chunk, { stream: true });
    for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
      const message = { event: "message", data: "" };
      for (const line of buffer.slice(0, end).split("\n")) {
        const [, field, value] = /^(\w+): (.*)$/.exec(line) ?? [];
        if (field === "event") message.event = value ?? "";
        if (field === "data") message.data += value ?? "";
      }
      buffer = buffer.slice(end + 2);
      yield message;
    }
  }
  if (buffer !== "") throw new Error(`the stream ended within a message: ${buffer}`);
}

/** Posts JSON, and reads the response's server-sent events to their end. */
export async function postStream(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ event: string; data: string }[]> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const type = response.headers.get("Content-Type");
  if (type !== "text/event-stream; charset=utf-8" || !response.body) {
    throw new Error(`no events, but ${response.status}: ${await response.text()}`);
  }
  const events: { event: string; data: string }[] = [];
  for await (const event of readEvents(response.body)) events.push(event);
  return events;
}

/** Waits until `condition` holds. */
export async function until(condition: () => boolean, what: string, milliseconds = 20_000): Promise<void> {
  const end = Date.now() + milliseconds;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`after ${milliseconds} ms still not: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
