import { parseNumber } from "../common/parse-number.ts";

/** How a server behaves; `resonant serve` has a flag and an environment variable for each. */
export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly corsOrigins: readonly string[];
  readonly maxBatchSize: number;
  readonly maxQueueSize: number;
  readonly maxTokensLimit: number;
  readonly maxPromptChars: number;
  readonly maxContextChars: number;
  readonly maxChoices: number;
  readonly prefixCacheBytes: number;
  readonly maxBodyBytes?: number;
  readonly apiKeys: readonly string[];
  readonly stateSecret?: string;
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
  readonly headersTimeout: number;
  readonly requestTimeout: number;
  readonly keepAliveTimeout: number;
  readonly heartbeatTimeout: number;
}

/** What there is to know of a setting, to read it from a flag or an environment variable. */
export interface Setting {
  readonly name: keyof Settings;
  /** Of the environment. */
  readonly variable: string;
  /** What stands for its value in a list of flags. */
  readonly unit: string;
  readonly about: string;
  /** Its value, from what a person typed. @throws RangeError with a sentence for them */
  readonly read: (text: string) => unknown;
  /** Where nobody sets it. */
  readonly value?: unknown;
  /** All that it may be, where that is a list. */
  readonly choices?: readonly string[];
}

const list = (text: string): readonly string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

function origins(text: string): readonly string[] {
  for (const origin of list(text)) {
    if (origin !== "*" && !(URL.canParse(origin) && new URL(origin).origin === origin)) {
      throw new RangeError("It must be *, or origins such as https://example.com, with commas between.");
    }
  }
  return list(text);
}

function secret(text: string): string {
  if (text.length >= 16) return text;
  throw new RangeError("It must have at least 16 characters.");
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
    about: "address to listen on",
    read: String,
    value: "0.0.0.0",
  },
  {
    name: "port",
    variable: "API_PORT",
    unit: "<port>",
    about: "port to listen on, 0: any free one",
    read: number(0, 65535, true),
    value: 8000,
  },
  {
    name: "corsOrigins",
    variable: "CORS_ORIGINS",
    unit: "<list>",
    about: "origins that pages may call from, or *",
    read: origins,
    value: ["*"],
  },
  {
    name: "maxBatchSize",
    variable: "MAX_BATCH_SIZE",
    unit: "<n>",
    about: "requests that run at once",
    read: number(1, 4096, true),
    value: 16,
  },
  {
    name: "maxQueueSize",
    variable: "MAX_QUEUE_SIZE",
    unit: "<n>",
    about: "requests that wait; more are refused (503)",
    read: count,
    value: 256,
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
    about: "longest prompt",
    read: positive,
    value: 8192,
  },
  {
    name: "maxContextChars",
    variable: "MAX_CONTEXT_CHARS",
    unit: "<n>",
    about: "longest context to retrieve from",
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
    about: "most GPU memory for beginnings that prompts of a client share, 0: none",
    read: number(0, 2 ** 40, true),
    value: 64 * 2 ** 20,
  },
  {
    name: "maxBodyBytes",
    variable: "MAX_BODY_BYTES",
    unit: "<n>",
    about: "largest request body (default: what the other limits need)",
    read: positive,
  },
  {
    name: "apiKeys",
    variable: "API_KEYS",
    unit: "<list>",
    about: "bearer keys, with commas between",
    read: list,
    value: [],
  },
  {
    name: "stateSecret",
    variable: "STATE_SECRET",
    unit: "<text>",
    about: "signs states (default: random for each process)",
    read: secret,
  },
  {
    name: "sessionStore",
    variable: "SESSION_STORE",
    unit: "<url>",
    about: "where sessions are kept: memory, redis://… or rediss://…",
    read: String,
    value: "memory",
  },
  {
    name: "sessionTtl",
    variable: "SESSION_TTL_S",
    unit: "<s>",
    about: "seconds that a session is kept after its last use",
    read: seconds,
    value: 86_400,
  },
  {
    name: "maxSessions",
    variable: "MAX_SESSIONS",
    unit: "<n>",
    about: "sessions of one API key, or of all without keys",
    read: positive,
    value: 1000,
  },
  {
    name: "rateLimit",
    variable: "RATE_LIMIT",
    unit: "<n>",
    about: "requests a second of one client, 0: no limit",
    read: count,
    value: 0,
  },
  {
    name: "rateLimitBurst",
    variable: "RATE_LIMIT_BURST",
    unit: "<n>",
    about: "requests of one client above the rate, now and then",
    read: count,
    value: 20,
  },
  {
    name: "trustProxy",
    variable: "TRUST_PROXY",
    unit: "<n>",
    about: "proxies in front, whose X-Forwarded-For names the client",
    read: count,
    value: 0,
  },
  {
    name: "drainTimeout",
    variable: "DRAIN_TIMEOUT_S",
    unit: "<s>",
    about: "seconds that requests may take to end after SIGTERM",
    read: seconds,
    value: 60,
  },
  {
    name: "idleTimeout",
    variable: "IDLE_TIMEOUT_S",
    unit: "<s>",
    about: "seconds that a client may leave its stream unread",
    read: seconds,
    value: 60,
  },
  {
    name: "headersTimeout",
    variable: "HEADERS_TIMEOUT_S",
    unit: "<s>",
    about: "seconds for a request's headers",
    read: seconds,
    value: 10,
  },
  {
    name: "requestTimeout",
    variable: "REQUEST_TIMEOUT_S",
    unit: "<s>",
    about: "seconds for a whole request to come in",
    read: seconds,
    value: 30,
  },
  {
    name: "keepAliveTimeout",
    variable: "KEEP_ALIVE_TIMEOUT_S",
    unit: "<s>",
    about: "seconds that an idle connection stays",
    read: seconds,
    value: 75,
  },
  {
    name: "heartbeatTimeout",
    variable: "HEARTBEAT_TIMEOUT_S",
    unit: "<s>",
    about: "seconds without an answer of the GPU to be dead",
    read: seconds,
    value: 120,
  },
  {
    name: "logFormat",
    variable: "LOG_FORMAT",
    unit: "<format>",
    about: "text: a line a request; json: for machines",
    read: String,
    value: "text",
    choices: ["text", "json"],
  },
  {
    name: "logLevel",
    variable: "LOG_LEVEL",
    unit: "<level>",
    about: "least important lines to log",
    read: String,
    value: "info",
    choices: ["debug", "info", "warn", "error", "silent"],
  },
];

/** The environment variables that say which model is served, and how. */
export const modelVariables = {
  model: "MODEL_NAME",
  checkpoint: "MODEL_CHECKPOINT",
  adapterPlacement: "ADAPTER_PLACEMENT",
  attention: "ATTENTION",
  alignment: "ALIGNMENT",
  device: "DEVICE",
  format: "WEIGHT_FORMAT",
} as const;

/** Every environment variable that `resonant serve` reads. */
export const settingNames: readonly string[] = [
  ...serverSettings.map(({ variable }) => variable),
  ...Object.values(modelVariables),
];

/** What a deployment calls a setting. */
export function variableOf(name: keyof Settings): string {
  const setting = serverSettings.find((each) => each.name === name);
  if (!setting) throw new Error(`there is no setting ${name}`);
  return setting.variable;
}
