/** A client of `resonant serve`. It needs `fetch` only: Node, Deno, Bun and browsers have it. */

/** Fields of `POST /v1/generate`, except the prompt. */
export interface GenerateOptions {
  max_tokens?: number;
  temperature?: number;
  top_k?: number;
  top_p?: number;
  repetition_penalty?: number;
  stop_sequences?: readonly string[];
  seed?: number;
  return_phase_metrics?: boolean;
  return_memory_stats?: boolean;
  return_state?: boolean;
  /** The state of an earlier answer, to continue from. */
  state?: string;
  /** A session that the server keeps: continues from its last turn, or starts it. */
  session?: string;
  /** Number of turns that the session must have had, so that a repeated request takes no turn twice. */
  turn?: number;
  phase_temperature?: number;
}

export interface Generated {
  text: string;
  prompt: string;
  tokens_generated: number;
  finish_reason: "max_tokens" | "eos_token" | "stop_sequence";
  timing_ms: number;
  seed: number;
  phase_metrics: {
    phase_coherence: number | null;
    gamma_mean: number;
    omega_values: number[];
    phase_offsets: number[];
  } | null;
  memory_stats: {
    pvm_mem_norm: number | null;
    pvm_gate_strength: number | null;
    plm_coherence: number | null;
    total_memory_kb: number;
  } | null;
  model_info: { model_name: string; num_afrb_layers: number; hidden_size: number };
  state?: string;
  session?: string;
  /** The number of turns in the session, including this one. */
  turn?: number;
}

export interface Session {
  name: string;
  turn: number;
  position: number;
  bytes: number;
  fingerprint: string;
  created: string;
  updated: string;
  expires: string;
}

export interface RetrieveOptions {
  query?: string;
  retrieval_mode?: "pvm" | "plm" | "hybrid";
  top_k?: number;
  return_positions?: boolean;
  return_similarity_scores?: boolean;
}

export interface Match {
  text: string;
  position?: number;
  similarity?: number;
  confidence: number;
}

export interface Health {
  status: "healthy" | "loading" | "draining" | "unhealthy";
  model_loaded: boolean;
  uptime_seconds: number;
  version: string;
  timestamp: string;
}

export interface ModelInfo {
  model_name: string;
  num_afrb_layers: number;
  hidden_size: number;
  vocab_size: number;
  max_context_length: number | null;
  device: string;
}

export interface ErrorBody {
  error: string;
  message: string;
  details?: { field?: string; value?: unknown; allowed?: string } | null;
  timestamp?: string;
}

/** The server's error response. */
export class ServerError extends Error {
  override readonly name = "ServerError";
  /** The HTTP status; 200 if a stream failed after its start. */
  readonly status: number;
  readonly body: ErrorBody;
  /** The id of the request in the server's log. */
  readonly requestId: string | null;

  constructor(response: Response, body: ErrorBody) {
    super(`${body.error}: ${body.message}`);
    this.status = response.status;
    this.body = body;
    this.requestId = response.headers.get("X-Request-Id");
  }
}

export interface ClientOptions {
  apiKey?: string;
  /** Replaces the global `fetch`, for tests or proxies. */
  fetch?: typeof fetch;
}

/** A server's endpoints, one method each. All methods throw `ServerError` if the server refuses the request. */
export class ResonantClient {
  readonly #base: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: typeof fetch;

  constructor(baseUrl = "http://localhost:8000", options: ClientOptions = {}) {
    this.#base = baseUrl.replace(/\/+$/, "");
    this.#headers = options.apiKey ? { Authorization: `Bearer ${options.apiKey}` } : {};
    this.#fetch = options.fetch ?? fetch;
  }

  health(): Promise<Health> {
    return this.#json("/v1/health");
  }

  modelInfo(): Promise<ModelInfo> {
    return this.#json("/v1/model/info");
  }

  /** Continues `prompt`, which may be empty if `options.state` is given or the session exists. */
  generate(prompt: string, options: GenerateOptions = {}, signal?: AbortSignal): Promise<Generated> {
    return this.#json("/v1/generate", { prompt, ...options }, signal);
  }

  /**
   * Like `generate`, but yields the text in pieces and returns the whole answer at the end. Leaving the loop early, or
   * aborting, closes the connection, and the server stops generating.
   */
  async *stream(
    prompt: string,
    options: GenerateOptions = {},
    signal?: AbortSignal,
  ): AsyncGenerator<string, Generated, undefined> {
    const response = await this.#send("/v1/generate", { prompt, ...options, stream: true }, signal);
    if (!response.body) throw new Error("the answer has no body");
    for await (const { name, data } of parseEvents(response.body)) {
      if (name === "message") yield (JSON.parse(data) as { text: string }).text;
      else if (name === "done") return JSON.parse(data) as Generated;
      else if (name === "error") throw new ServerError(response, JSON.parse(data) as ErrorBody);
    }
    throw new Error("the stream ended before its text did");
  }

  /** Returns the passages of `context` most similar to `needle`, best first. */
  async retrieve(context: string, needle: string, options: RetrieveOptions = {}): Promise<Match[]> {
    const body = { context, needle, ...options };
    return (await this.#json<{ matches: Match[] }>("/v1/retrieve", body)).matches;
  }

  /** Returns a session with the text of its last turn, for a client whose response was lost. */
  session(name: string): Promise<Session & { text: string }> {
    return this.#json(`/v1/sessions/${encodeURIComponent(name)}`);
  }

  /** Starts the session `to` from the state of `name`. */
  forkSession(name: string, to: string): Promise<Session> {
    return this.#json(`/v1/sessions/${encodeURIComponent(name)}/fork`, { to });
  }

  async deleteSession(name: string): Promise<void> {
    await this.#send(`/v1/sessions/${encodeURIComponent(name)}`, undefined, undefined, "DELETE");
  }

  async #json<T>(path: string, body?: object, signal?: AbortSignal): Promise<T> {
    return (await this.#send(path, body, signal)).json() as Promise<T>;
  }

  async #send(
    path: string,
    body?: object,
    signal?: AbortSignal,
    method = body ? "POST" : "GET",
  ): Promise<Response> {
    const response = await this.#fetch(this.#base + path, {
      method,
      headers: { ...this.#headers, ...(body ? { "Content-Type": "application/json" } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
      ...(signal ? { signal } : {}),
    });
    if (response.ok) return response;
    const text = await response.text();
    let error: ErrorBody = { error: "unknown", message: `${response.status} ${response.statusText}` };
    try {
      error = JSON.parse(text) as ErrorBody;
    } catch {
      // The body is a proxy's error page.
    }
    throw new ServerError(response, error);
  }
}

export interface ServerSentEvent {
  readonly name: string;
  readonly data: string;
}

/** Parses server-sent events by the HTML standard; a chunk may end anywhere, even within a character. */
export async function* parseEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  let rest = "";
  let name = "";
  let data: string[] = [];
  for await (const chunk of body.pipeThrough(
    new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>,
  )) {
    rest += chunk;
    // A final "\r" may be the first half of "\r\n".
    const whole = rest.endsWith("\r") ? rest.length - 1 : rest.length;
    const lines = rest.slice(0, whole).split(/\r\n|\n|\r/);
    rest = (lines.pop() ?? "") + rest.slice(whole);
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield { name: name || "message", data: data.join("\n") };
        name = "";
        data = [];
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") name = value;
      else if (field === "data") data.push(value);
    }
  }
}
