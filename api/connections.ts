import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/**
 * Knows which connections of a server have a request under way. Node does not tell: it counts a connection that has sent
 * nothing yet, or half of a request's headers, among the active ones, and waits for it.
 */
export class Connections {
  /** Requests under way on each connection. */
  readonly #requests = new Map<Socket, number>();
  #closing = false;

  constructor(server: Server) {
    server.on("connection", (socket: Socket) => {
      if (this.#closing) socket.destroy();
      this.#requests.set(socket, 0);
      socket.once("close", () => this.#requests.delete(socket));
    });
    server.prependListener("request", ({ socket }: IncomingMessage, outgoing: ServerResponse) => {
      this.#count(socket, 1);
      outgoing.once("close", () => {
        this.#count(socket, -1);
        // What was written is sent before the connection closes.
        if (this.#closing && this.#requests.get(socket) === 0) socket.destroySoon();
      });
    });
  }

  #count(socket: Socket, more: number): void {
    const requests = this.#requests.get(socket);
    if (requests !== undefined) this.#requests.set(socket, requests + more);
  }

  /** Closes every connection without a request under way now, and each other one when its requests are answered. */
  closeWhenDone(): void {
    this.#closing = true;
    for (const [socket, requests] of this.#requests) if (requests === 0) socket.destroy();
  }

  /** Closes every connection at once. */
  destroy(): void {
    for (const socket of this.#requests.keys()) socket.destroy();
  }
}
