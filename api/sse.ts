import { ReadableStream } from "node:stream/web";
import type { ApiContext } from "./context.ts";
import { type ApiError, asApiError } from "./errors.ts";
import type { Service } from "./service.ts";

/** A message of a stream of server-sent events; without a name it is a `message`. */
export interface ServerSentEvent {
  readonly event?: string;
  readonly data: unknown;
}

const encoder = new TextEncoder();

// JSON holds no line ends, so that a message is one line of data.
function encode({ event, data }: ServerSentEvent): Uint8Array {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return encoder.encode(`${event ? `event: ${event}\n` : ""}data: ${text}\n\n`);
}

/**
 * Answers with server-sent events, computed as the client reads them; an error on the way becomes an event `error`. A
 * client that leaves them unread for the idle time-out is cut off, and so no longer keeps a slot.
 */
export function eventStream(
  c: ApiContext,
  service: Service,
  events: AsyncGenerator<ServerSentEvent>,
  errorBody: (error: ApiError) => unknown,
): Response {
  const { outgoing } = c.env;
  outgoing.setTimeout(service.settings.idleTimeout * 1000, () => outgoing.destroy());
  const chunks = (async function* () {
    try {
      for await (const event of events) yield encode(event);
    } catch (error) {
      if (c.get("signal").aborted) return;
      service.log.error({ err: error, request_id: c.get("requestId") }, "a stream failed");
      yield encode({ event: "error", data: errorBody(asApiError(error)) });
    }
  })();
  return c.body(ReadableStream.from(chunks) as unknown as globalThis.ReadableStream, 200, {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
  });
}
