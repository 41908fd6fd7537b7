import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";

/** What a request carries from one middleware to the next. */
export interface Env {
  readonly Bindings: HttpBindings;
  readonly Variables: {
    readonly requestId: string;
    /** Who calls a guarded operation. */
    readonly client: string;
    /** Aborted where the client leaves before its answer is out. */
    readonly signal: AbortSignal;
    /** The operation's path. */
    readonly route: string;
    readonly openAi: boolean;
  };
}

/** A request in the hands of the API. */
export type ApiContext = Context<Env>;
