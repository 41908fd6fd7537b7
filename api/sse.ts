import { ReadableStream } from "node:stream/web";
import type { ApiContext } from "./context.ts";
import { type ApiError, asApiError, ClientLeft, isFault } from "./errors.ts";
import type { Service } from "./service.ts";

/** A server-sent event. Without a name it is a `message`. */
export interface ServerSentEvent {
  readonly event?: string;
  readonly data: unknown;
}

const encoder = new TextEncoder();

// JSON contains no line breaks, so the data of an event is one line.
function encode({ event, data }: ServerSentEvent): Uint8Array {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return encoder.encode(`${event ? `event: ${event}\n` : ""}data: ${text}\n\n`);
}

/**
 * Answers with server-sent events, which are computed as the client reads them. An error becomes an event `error`. If a
 * client reads nothing for the idle time-out, its connection is closed, which frees its slot.
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
      if (c.get("signal").reason instanceof ClientLeft) return;
      const apiError = asApiError(error);
      if (isFault(apiError)) {
        service.log.error({ err: error, request_id: c.get("requestId") }, "a stream failed");
      }
      yield encode({ event: "error", data: errorBody(apiError) });
    }
  })();
  return c.body(ReadableStream.from(chunks) as unknown as globalThis.ReadableStream, 200, {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
  });
}
