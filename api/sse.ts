import { ReadableStream } from "node:stream/web";
import type { ApiContext } from "./context.ts";
import { type ApiError, asApiError, ClientLeft, isFault } from "./errors.ts";
import type { Service } from "./service.ts";

/** A server-sent event. Without a name it is a `message`. */
export interface ServerSentEvent {
  readonly event?: string;
  readonly data: unknown;
}

// JSON contains no line breaks, so the data of an event is one line.
function encode({ event, data }: ServerSentEvent): string {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return `${event ? `event: ${event}\n` : ""}data: ${text}\n\n`;
}

/**
 * Answers with server-sent events. They are computed ahead of the client and wait for it in a buffer; while that is full,
 * no more are computed. (Where a stream that is not read would hold its slot, they are computed to their end instead.) An
 * error becomes an event `error`. Who reads too slowly is cut, and who reads nothing loses its connection (see `Readers`).
 */
export function eventStream(
  c: ApiContext,
  service: Service,
  events: AsyncGenerator<ServerSentEvent>,
  errorBody: (error: ApiError) => unknown,
): Response {
  const last = (error: ApiError): string => encode({ event: "error", data: errorBody(error) });
  const signal = c.get("signal");
  const { buffer } = service.readers.watch(c.env.outgoing, service.parks, (error) => {
    c.get("abandon")(error);
    return last(error);
  });
  const write = async (): Promise<void> => {
    try {
      for await (const event of events) {
        buffer.push(encode(event));
        await buffer.room(signal);
      }
    } catch (error) {
      if (buffer.isCut || signal.reason instanceof ClientLeft) return;
      const apiError = asApiError(error);
      if (isFault(apiError)) {
        service.log.error({ err: error, request_id: c.get("requestId") }, "a stream failed");
      }
      if (signal.aborted) buffer.cut(last(apiError));
      else buffer.push(last(apiError));
    } finally {
      buffer.end();
    }
  };
  void write();
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const chunk = await buffer.take();
        if (chunk) controller.enqueue(chunk);
        else controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  return c.body(body as unknown as globalThis.ReadableStream, 200, {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
  });
}
