import { ResonantError } from "../common/errors.ts";
import { parseNumber } from "../common/parse-number.ts";
import { hostName } from "./hosts.ts";

/** The settings of a server. `resonant serve` has a flag and an environment variable for each. */
export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly corsOrigins: readonly string[];
  /** Host names to answer for besides loopback's; empty: all, or loopback's alone on a server that listens there. */
  readonly allowedHosts: readonly string[];
  readonly maxBatchSize: number;
  readonly maxQueueSize: number;
  readonly maxStreams: number;
  readonly maxTokensLimit: number;
  readonly maxPromptChars: number;
  readonly maxContextChars: number;
  readonly maxChoices: number;
  readonly prefixCacheBytes: number;
  readonly maxBodyBytes?: number;
  readonly bodyMemoryBytes: number;
  readonly streamBufferBytes: number;
  readonly apiKeys: readonly string[];
  readonly keyAttempts: number;
  readonly metricsAccess: Access;
  readonly docsAccess: Access;
  readonly stateSecret?: string;
  /** Seconds; 0: states do not end. */
  readonly stateTtl: number;
  readonly stateImports: "signed" | "any";
  /** `memory`, or the URL of a Redis. */
  readonly sessionStore: string;
  readonly sessionTtl: number;
  readonly maxSessions: number;
  readonly rateLimit: number;
  readonly rateLimitBurst: number;
  readonly trustProxy: number;
  readonly logFormat: "text" | "json";
  readonly logLevel: "debug" | "info" | "warn" | "error" | "silent";
  readonly drainTimeout: number;
  readonly idleTimeout: number;
  readonly minReadRate: number;
  readonly headersTimeout: number;
  readonly requestTimeout: number;
  readonly keepAliveTimeout: number;
  readonly heartbeatTimeout: number;
}

/** Who may read the metrics or the documentation: everyone, who has a key, or nobody. */
export type Access = "public" | "key" | "off";

/** The description of a setting, from which its flag and environment variable are made. */
export interface Setting {
  readonly name: keyof Settings;
  /** Its environment variable. */
  readonly variable: string;
  /** Placeholder for its value in the help. */
  readonly unit: string;
  /** Description for the help. */
  readonly about: string;
  /** Parses the user's text. @throws RangeError with a sentence for the user */
  readonly read: (text: string) => unknown;
  /** The default value. */
  readonly value?: unknown;
  /** Whether the value must never be printed. */
  readonly secret?: true;
  /** The allowed values, if there is a fixed list. */
  readonly choices?: readonly string[];
}

const access: readonly Access[] = ["public", "key", "off"];

const list = (text: string): readonly string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

function origins(text: string): readonly string[] {
  for (const origin of list(text)) {
    if (origin !== "*" && !(URL.canParse(origin) && new URL(origin).origin === origin)) {
      throw new RangeError("It must be *, or origins such as https://example.com, separated by commas.");
    }
  }
  return list(text);
}

function secret(text: string): string {
  if (text.length >= 16) return text;
  throw new RangeError("It must have at least 16 characters.");
}

function keys(text: string): readonly string[] {
  if (list(text).length > 0) return list(text);
  throw new RangeError("It names no key. Without this setting, no key is needed.");
}

function hosts(text: string): readonly string[] {
  return list(text).map((host) => {
    const name = host === "*" ? host : hostName(host);
    if (name && /^(\*|[^*]*)$/.test(host) && !/[/@?#]/.test(host)) return name;
    throw new RangeError("It must be *, or host names such as api.example.com, separated by commas.");
  });
}

const number = (least: number, most: number, whole?: boolean) => (text: string) =>
  parseNumber(text, least, most, whole);

const seconds = number(0.001, 2_000_000);
const count = number(0, 2 ** 31, true);
const positive = number(1, 2 ** 31, true);

/** Every setting of a server. */
export const serverSettings: readonly Setting[] = [
  {
    name: "host",
    variable: "API_HOST",
    unit: "<address>",
    about: "address on which the server listens",
    read: String,
    value: "0.0.0.0",
  },
  {
    name: "port",
    variable: "API_PORT",
    unit: "<port>",
    about: "port on which the server listens, 0: any free port",
    read: number(0, 65535, true),
    value: 8000,
  },
  {
    name: "corsOrigins",
    variable: "CORS_ORIGINS",
    unit: "<list>",
    about: "origins of web pages that may call the API, or *",
    read: origins,
    value: ["*"],
  },
  {
    name: "allowedHosts",
    variable: "ALLOWED_HOSTS",
    unit: "<list>",
    about:
      "host names to answer for besides localhost, or * (default: all; localhost's alone if it listens there)",
    read: hosts,
    value: [],
  },
  {
    name: "maxBatchSize",
    variable: "MAX_BATCH_SIZE",
    unit: "<n>",
    about: "most requests that run at once",
    read: number(1, 4096, true),
    value: 16,
  },
  {
    name: "maxQueueSize",
    variable: "MAX_QUEUE_SIZE",
    unit: "<n>",
    about: "most requests that wait; others are refused (503)",
    read: count,
    value: 256,
  },
  {
    name: "maxStreams",
    variable: "MAX_STREAMS",
    unit: "<n>",
    about: "most texts that wait in the requests' queue together",
    read: positive,
    value: 10_000,
  },
  {
    name: "maxTokensLimit",
    variable: "MAX_TOKENS_LIMIT",
    unit: "<n>",
    about: "largest max_tokens of a request",
    read: positive,
    value: 2048,
  },
  {
    name: "maxPromptChars",
    variable: "MAX_PROMPT_CHARS",
    unit: "<n>",
    about: "longest prompt, in characters",
    read: positive,
    value: 8192,
  },
  {
    name: "maxContextChars",
    variable: "MAX_CONTEXT_CHARS",
    unit: "<n>",
    about: "longest context of a retrieval, in characters",
    read: positive,
    value: 100_000,
  },
  {
    name: "maxChoices",
    variable: "MAX_CHOICES",
    unit: "<n>",
    about: "largest n of a completion",
    read: positive,
    value: 16,
  },
  {
    name: "prefixCacheBytes",
    variable: "PREFIX_CACHE_BYTES",
    unit: "<n>",
    about: "bytes of GPU memory for the prefix cache, 0: no cache",
    read: number(0, 2 ** 40, true),
    value: 64 * 2 ** 20,
  },
  {
    name: "maxBodyBytes",
    variable: "MAX_BODY_BYTES",
    unit: "<n>",
    about: "largest request body, in bytes (default: from the other limits)",
    read: positive,
  },
  {
    name: "bodyMemoryBytes",
    variable: "BODY_MEMORY_BYTES",
    unit: "<n>",
    about: "bytes for all request bodies together; others are refused (503)",
    read: positive,
    value: 64 * 2 ** 20,
  },
  {
    name: "streamBufferBytes",
    variable: "STREAM_BUFFER_BYTES",
    unit: "<n>",
    about: "bytes of a stream that wait for a slow reader",
    read: positive,
    value: 64 * 1024,
  },
  {
    name: "apiKeys",
    variable: "API_KEYS",
    unit: "<list>",
    about: "accepted bearer keys, separated by commas",
    read: keys,
    value: [],
    secret: true,
  },
  {
    name: "keyAttempts",
    variable: "KEY_ATTEMPTS",
    unit: "<n>",
    about: "most wrong keys of one address in a minute, 0: no limit",
    read: count,
    value: 20,
  },
  {
    name: "metricsAccess",
    variable: "METRICS_ACCESS",
    unit: "<access>",
    about: "who may read /metrics: public: everyone, key: with a key, off: nobody",
    read: String,
    value: "public",
    choices: access,
  },
  {
    name: "docsAccess",
    variable: "DOCS_ACCESS",
    unit: "<access>",
    about: "who may read /docs, /redoc and /openapi.json, as for the metrics",
    read: String,
    value: "public",
    choices: access,
  },
  {
    name: "stateSecret",
    variable: "STATE_SECRET",
    unit: "<text>",
    about: "secret that signs states (default: random for each process)",
    read: secret,
    secret: true,
  },
  {
    name: "stateTtl",
    variable: "STATE_TTL_S",
    unit: "<s>",
    about: "seconds for which a state can be continued, 0: for ever",
    read: number(0, 2_000_000_000),
    value: 0,
  },
  {
    name: "stateImports",
    variable: "STATE_IMPORTS",
    unit: "<which>",
    about: "states to import: signed: with their export's signature, any: every file",
    read: String,
    value: "signed",
    choices: ["signed", "any"],
  },
  {
    name: "sessionStore",
    variable: "SESSION_STORE",
    unit: "<url>",
    about: "where sessions are kept: memory, redis://… or rediss://…",
    read: String,
    value: "memory",
    secret: true,
  },
  {
    name: "sessionTtl",
    variable: "SESSION_TTL_S",
    unit: "<s>",
    about: "seconds for which a session is kept after its last use",
    read: seconds,
    value: 86_400,
  },
  {
    name: "maxSessions",
    variable: "MAX_SESSIONS",
    unit: "<n>",
    about: "most sessions of one API key, or in all without keys",
    read: positive,
    value: 1000,
  },
  {
    name: "rateLimit",
    variable: "RATE_LIMIT",
    unit: "<n>",
    about: "most requests per second of one client, 0: no limit",
    read: count,
    value: 0,
  },
  {
    name: "rateLimitBurst",
    variable: "RATE_LIMIT_BURST",
    unit: "<n>",
    about: "extra requests that one client may send in a burst",
    read: count,
    value: 20,
  },
  {
    name: "trustProxy",
    variable: "TRUST_PROXY",
    unit: "<n>",
    about: "number of proxies in front, whose X-Forwarded-For is trusted",
    read: count,
    value: 0,
  },
  {
    name: "drainTimeout",
    variable: "DRAIN_TIMEOUT_S",
    unit: "<s>",
    about: "seconds for requests to finish after SIGTERM",
    read: seconds,
    value: 60,
  },
  {
    name: "idleTimeout",
    variable: "IDLE_TIMEOUT_S",
    unit: "<s>",
    about: "seconds after which a stream that its client does not read ends",
    read: seconds,
    value: 60,
  },
  {
    name: "minReadRate",
    variable: "MIN_READ_RATE",
    unit: "<n>",
    about: "bytes per second that the reader of a stream must take, over a minute",
    read: number(0, 2 ** 31),
    value: 1024,
  },
  {
    name: "headersTimeout",
    variable: "HEADERS_TIMEOUT_S",
    unit: "<s>",
    about: "seconds in which a request's headers must arrive",
    read: seconds,
    value: 10,
  },
  {
    name: "requestTimeout",
    variable: "REQUEST_TIMEOUT_S",
    unit: "<s>",
    about: "seconds in which a whole request must arrive",
    read: seconds,
    value: 30,
  },
  {
    name: "keepAliveTimeout",
    variable: "KEEP_ALIVE_TIMEOUT_S",
    unit: "<s>",
    about: "seconds for which an idle connection stays open",
    read: seconds,
    value: 75,
  },
  {
    name: "heartbeatTimeout",
    variable: "HEARTBEAT_TIMEOUT_S",
    unit: "<s>",
    about: "seconds without an answer after which the GPU counts as dead",
    read: seconds,
    value: 120,
  },
  {
    name: "logFormat",
    variable: "LOG_FORMAT",
    unit: "<format>",
    about: "text: one line for each request; json: for machines",
    read: String,
    value: "text",
    choices: ["text", "json"],
  },
  {
    name: "logLevel",
    variable: "LOG_LEVEL",
    unit: "<level>",
    about: "lowest level that is logged",
    read: String,
    value: "info",
    choices: ["debug", "info", "warn", "error", "silent"],
  },
];

/** Checks settings that depend on each other. @throws ResonantError `invalid_argument` */
export function checkSettings(settings: Settings): void {
  for (const name of ["metricsAccess", "docsAccess"] as const) {
    if (settings[name] !== "key" || settings.apiKeys.length > 0) continue;
    throw new ResonantError("invalid_argument", "it is `key`, but there are no keys", {
      where: variableOf(name),
      fix: `Set ${variableOf("apiKeys")}, or make it public or off`,
    });
  }
}

/** The environment variables that choose the model and its options. */
export const modelVariables = {
  model: "MODEL_NAME",
  checkpoint: "MODEL_CHECKPOINT",
  adapterPlacement: "ADAPTER_PLACEMENT",
  attention: "ATTENTION",
  alignment: "ALIGNMENT",
  device: "DEVICE",
  unchecked: "UNCHECKED",
  format: "WEIGHT_FORMAT",
} as const;

/** Every environment variable that `resonant serve` reads. */
export const settingNames: readonly string[] = [
  ...serverSettings.map(({ variable }) => variable),
  ...Object.values(modelVariables),
];

/** Returns the environment variable of a setting. */
export function variableOf(name: keyof Settings): string {
  const setting = serverSettings.find((each) => each.name === name);
  if (!setting) throw new Error(`there is no setting ${name}`);
  return setting.variable;
}
