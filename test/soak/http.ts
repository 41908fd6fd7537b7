import { type Agent, type IncomingHttpHeaders, request } from "node:http";
import { SIGNATURE_BYTES } from "../../api/state-token.ts";

/** A request; the body is sent as JSON unless it is a string or bytes. */
export interface Ask {
  readonly method?: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
}

/** When a client disconnects: a number of milliseconds after its request, or at a part of the body (0: the headers). */
export type Leaving = { readonly milliseconds: number } | { readonly parts: number };

export interface SendOptions {
  /** Without an agent the request uses a new connection. */
  readonly agent?: Agent | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly leave?: Leaving | undefined;
  /** Milliseconds within which the whole answer must arrive. */
  readonly patience?: number;
}

/** Sends `ask`; returns the answer, or undefined if the client disconnected. @throws Error if the answer is incomplete */
export function send(url: string, ask: Ask, options: SendOptions = {}): Promise<Reply | undefined> {
  const { agent, leave, patience = 120_000 } = options;
  const { body, path } = ask;
  const raw = typeof body === "string" || body instanceof Uint8Array;
  const payload = body === undefined ? undefined : raw ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sent = request(url + path, {
      method: ask.method ?? (payload === undefined ? "GET" : "POST"),
      agent: agent ?? false,
      headers: {
        ...(payload === undefined
          ? {}
          : { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(payload) }),
        ...options.headers,
        ...ask.headers,
      },
    });
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      settle();
    };
    const fail = (error: Error): void => end(() => reject(error));
    const quit = (): void => {
      end(() => resolve(undefined));
      sent.destroy();
    };
    const due = leave && "milliseconds" in leave ? leave.milliseconds : undefined;
    const timer = setTimeout(
      () => (due === undefined ? sent.destroy(new Error(`no answer within ${patience} ms`)) : quit()),
      due ?? patience,
    );
    const lastPart = leave && "parts" in leave ? leave.parts : undefined;
    sent.on("error", fail);
    sent.once("response", (response) => {
      const parts: Buffer[] = [];
      response.on("error", fail);
      response.on("data", (part: Buffer) => {
        parts.push(part);
        if (parts.length === lastPart) quit();
      });
      response.once("end", () => {
        const { statusCode: status = 0, headers } = response;
        end(() => resolve({ status, headers, bytes: Buffer.concat(parts) }));
      });
      if (lastPart === 0) quit();
    });
    sent.end(payload);
  });
}

/** Fields that differ between two answers to the same request: ids, times, and the reused length of a prompt. */
const INCIDENTAL = new Set(["id", "created", "timing_ms", "timestamp", "prompt_tokens_details"]);

const parse = (text: string): unknown =>
  JSON.parse(text, (key, value) => {
    if (INCIDENTAL.has(key)) return undefined;
    return key === "state" && typeof value === "string" ? unsigned(value) : value;
  });

/** A state's signature says to which key it was given. */
const unsigned = (token: string): string =>
  Buffer.from(token, "base64url").subarray(SIGNATURE_BYTES).toString("base64url");

export const jsonOf = (reply: Reply): unknown => JSON.parse(reply.bytes.toString());

interface Told {
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: any of the API's answers
  readonly data: any;
}

/**
 * Returns the parts of an answer that its request determines; of a stream, the events of each choice in order.
 * @throws Error if events contradict each other, or end early
 */
export function contentOf({ status, headers, bytes }: Reply): unknown {
  const text = bytes.toString();
  const type = headers["content-type"] ?? "";
  if (!type.startsWith("text/event-stream")) return { status, body: parse(text) };
  if (!text.endsWith("\n\n")) throw new Error(`the stream ended within a message: ${text.slice(-200)}`);
  const events = text
    .slice(0, -2)
    .split("\n\n")
    .map((message): Told => {
      const [, event = "message", data = ""] = /^(?:event: (.*)\n)?data: (.*)$/.exec(message) ?? [];
      return { event, data: data === "[DONE]" ? data : JSON.parse(data) };
    });
  checkEvents(events);
  const choices = new Map<string, unknown[]>();
  for (const { event, data } of events) {
    const choice = `${event} ${data.choices?.[0]?.index ?? ""}`;
    choices.set(choice, [...(choices.get(choice) ?? []), parse(JSON.stringify(data))]);
  }
  // The order in which choices begin is random.
  return { status, choices: Object.fromEntries([...choices].sort(([a], [b]) => (a < b ? -1 : 1))) };
}

/** @throws Error unless the events are those of one whole answer */
function checkEvents(events: readonly Told[]): void {
  const last = events.at(-1);
  const chunks = events.filter(({ data }) => data !== "[DONE]");
  if (last?.event === "done") {
    const pieces = events.slice(0, -1).map(({ data }) => data.text);
    if (pieces.join("") !== last.data.text) {
      throw new Error(`the pieces ${JSON.stringify(pieces)} are not the text ${JSON.stringify(last.data)}`);
    }
  } else if (last?.data !== "[DONE]") {
    throw new Error(`the stream ended with ${JSON.stringify(last)}`);
  } else if (new Set(chunks.map(({ data }) => data.id)).size !== 1) {
    throw new Error(`chunks of several answers in one stream: ${JSON.stringify(chunks)}`);
  }
}
