import { ApiError } from "./errors.ts";
import { Ring } from "./ring.ts";
import { Shares } from "./shares.ts";

/** Begins a choice of a request. Call `end` when it has ended, however it did. */
export type Begin = (index: number, end: () => void) => void;

/** The places of one request's choices. */
export interface Places {
  /** Choices that have not begun. */
  readonly waiting: number;
  /** Gives up the choices that have not begun. */
  leave(): void;
}

export interface AdmissionLimits {
  /** Most choices that run at once. */
  readonly running: number;
  /** Most choices of one request that run at once. More of them would write no faster: they share the same slots. */
  readonly together: number;
  /** Most requests with choices that wait. */
  readonly requests: number;
  /** Most choices that wait. */
  readonly choices: number;
}

interface Request {
  readonly client: Client;
  readonly count: number;
  readonly begin: Begin;
  begun: number;
  running: number;
  left: boolean;
}

/** A client with choices that wait. */
interface Client {
  readonly name: string;
  /** Its requests whose next choice may begin. */
  readonly requests: Ring<Request>;
}

/** So many requests may wait for one client in any case. */
const FEW_REQUESTS = 8;

/**
 * Lets choices (and searches) begin, at most so many at once; the others wait, up to a limit, and the rest is refused.
 * Clients take turns, then the requests of a client; the choices of a request begin in their order. What waits is a number
 * of each request: no object is made for a choice before it begins. Admitting a request, beginning a choice, ending one and
 * giving up all that wait take constant time each.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #running: Shares;
  readonly #requests: Shares;
  readonly #choices: Shares;
  /** Clients that wait. The first one is served next. */
  readonly #clients = new Ring<Client>();
  /** Clients that wait but hold their share of what may run. */
  readonly #sated = new Ring<Client>();
  readonly #byName = new Map<string, Client>();
  /** Moving average of the time for which a choice runs, in seconds. */
  #held = 1;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
    this.#running = new Shares(limits.running, limits.together);
    this.#requests = new Shares(limits.requests, FEW_REQUESTS);
    this.#choices = new Shares(limits.choices, limits.together);
  }

  /** Choices and searches that run. */
  get running(): number {
    return this.#running.total;
  }

  /** Choices and searches that wait. */
  get waiting(): number {
    return this.#choices.total;
  }

  /**
   * Admits a request of a client with `count` choices. In the queue a request counts once, whatever its number of choices;
   * the choices that wait are limited too.
   * @param begin is called for each choice when its turn comes, for some perhaps at once
   * @throws ApiError `resource_error` with `Retry-After` if some choices must wait and too much waits already
   */
  admit(client: string, count: number, begin: Begin): Places {
    const atOnce = count <= this.#limits.together && this.#running.fits(client, count);
    if (!atOnce) this.#refuseTooMany(client, count);
    const request: Request = {
      client: this.#client(client),
      count,
      begin,
      begun: 0,
      running: 0,
      left: false,
    };
    this.#choices.take(client, count);
    this.#requests.take(client, 1);
    this.#queue(request);
    this.#serve();
    return {
      get waiting() {
        return request.left ? 0 : count - request.begun;
      },
      leave: () => this.#leave(request),
    };
  }

  /**
   * Waits until a request of one choice may run.
   * @returns gives its place up
   * @throws ApiError as {@link admit}; the signal's reason when it is aborted while it waits
   */
  async turn(client: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const gone = (): void => {
        places.leave();
        reject(signal.reason);
      };
      const places = this.admit(client, 1, (_, end) => {
        signal.removeEventListener("abort", gone);
        resolve(end);
      });
      if (places.waiting > 0) signal.addEventListener("abort", gone, { once: true });
    });
  }

  #refuseTooMany(client: string, count: number): void {
    const { requests, choices } = this.#limits;
    if (!this.#requests.fits(client, 1)) {
      const whose = this.#requests.total >= requests ? "" : " of this client";
      throw this.#refusal(`too many requests${whose} are waiting`);
    }
    const most = Math.min(count, this.#limits.together, this.#limits.running - this.running);
    if (this.#choices.fits(client, count - Math.max(0, most))) return;
    const whose = this.waiting + count > choices ? "" : " of this client";
    throw this.#refusal(`too many choices${whose} are waiting for this one's ${count}`);
  }

  #refusal(message: string): ApiError {
    return new ApiError("resource_error", message, {
      headers: { "Retry-After": String(this.#retryAfter()) },
    });
  }

  /** Estimated time until one more choice has run, in whole seconds, 1 to 60. */
  #retryAfter(): number {
    const seconds = (this.#held * (this.waiting + 1)) / Math.max(1, this.running);
    return Math.min(60, Math.max(1, Math.ceil(seconds)));
  }

  #client(name: string): Client {
    const client = this.#byName.get(name) ?? { name, requests: new Ring() };
    this.#byName.set(name, client);
    return client;
  }

  /** Puts a request behind the others of its client, and the client behind the others, if its next choice may begin. */
  #queue(request: Request): void {
    const { client, count, begun, running, left } = request;
    if (left || begun === count || running >= this.#limits.together) return;
    client.requests.add(request);
    this.#ask(client);
  }

  /** Lets a client take turns, if anything of it may begin. */
  #ask(client: Client | undefined): void {
    if (!client || client.requests.size === 0) return;
    this.#sated.delete(client);
    this.#clients.add(client);
  }

  #serve(): void {
    while (this.running < this.#limits.running) {
      const client = this.#clients.first;
      if (!client) return;
      this.#clients.delete(client);
      if (this.#running.fits(client.name, 1)) this.#begin(client.requests.first!);
      else this.#sated.add(client);
    }
  }

  #begin(request: Request): void {
    const { client } = request;
    const index = request.begun++;
    request.running++;
    this.#running.take(client.name, 1);
    this.#choices.give(client.name, 1);
    client.requests.delete(request);
    this.#queue(request);
    this.#ask(client);
    if (request.begun === request.count) this.#forget(client);
    const since = performance.now();
    let ended = false;
    request.begin(index, () => {
      if (ended) return;
      ended = true;
      this.#held += 0.1 * ((performance.now() - since) / 1000 - this.#held);
      this.#end(request);
    });
  }

  #end(request: Request): void {
    const { name } = request.client;
    request.running--;
    this.#running.give(name, 1);
    this.#queue(request);
    this.#ask(this.#byName.get(name));
    this.#ask(this.#sated.first);
    this.#serve();
  }

  #leave(request: Request): void {
    if (request.left || request.begun === request.count) return;
    request.left = true;
    const { client } = request;
    this.#choices.give(client.name, request.count - request.begun);
    client.requests.delete(request);
    if (client.requests.size === 0) {
      this.#clients.delete(client);
      this.#sated.delete(client);
    }
    this.#forget(client);
  }

  /** A request has no choice that waits any more. */
  #forget({ name }: Client): void {
    this.#requests.give(name, 1);
    if (!this.#requests.holds(name)) this.#byName.delete(name);
  }
}
