import { type Command, InvalidArgumentError, Option } from "commander";
import type { Settings } from "../api/settings.ts";
import { alignmentOption, type ModelFlags, numberIn, withModel } from "./options.ts";

/** What `resonant serve` takes: how the server behaves, and which model it serves. */
export interface ServeFlags extends Settings, ModelFlags {}

const list = (text: string): readonly string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

function origins(text: string): readonly string[] {
  for (const origin of list(text)) {
    if (origin !== "*" && !(URL.canParse(origin) && new URL(origin).origin === origin)) {
      throw new InvalidArgumentError(
        "It must be *, or origins such as https://example.com, with commas between.",
      );
    }
  }
  return list(text);
}

function secret(text: string): string {
  if (text.length >= 16) return text;
  throw new InvalidArgumentError("It must have at least 16 characters.");
}

const seconds = numberIn(0.001, 2_000_000);
const count = numberIn(0, 2 ** 31, true);
const positive = numberIn(1, 2 ** 31, true);

type Row = [
  flags: string,
  env: string,
  description: string,
  parse: (text: string) => unknown,
  value?: unknown,
];

const rows: readonly Row[] = [
  ["--host <address>", "API_HOST", "address to listen on", String, "0.0.0.0"],
  ["--port <port>", "API_PORT", "port to listen on, 0: any free one", numberIn(0, 65535, true), 8000],
  ["--cors-origins <list>", "CORS_ORIGINS", "origins that pages may call from, or *", origins, ["*"]],
  ["--max-batch-size <n>", "MAX_BATCH_SIZE", "requests that run at once", numberIn(1, 4096, true), 16],
  ["--max-queue-size <n>", "MAX_QUEUE_SIZE", "requests that wait; more are refused (503)", count, 256],
  ["--max-tokens-limit <n>", "MAX_TOKENS_LIMIT", "largest max_tokens of a request", positive, 2048],
  ["--max-prompt-chars <n>", "MAX_PROMPT_CHARS", "longest prompt", positive, 8192],
  ["--max-context-chars <n>", "MAX_CONTEXT_CHARS", "longest context to retrieve from", positive, 100_000],
  ["--max-choices <n>", "MAX_CHOICES", "largest n of a completion", positive, 16],
  [
    "--prefix-cache-bytes <n>",
    "PREFIX_CACHE_BYTES",
    "most GPU memory for beginnings that prompts of a client share, 0: none",
    numberIn(0, 2 ** 40, true),
    64 * 2 ** 20,
  ],
  [
    "--max-body-bytes <n>",
    "MAX_BODY_BYTES",
    "largest request body (default: what the other limits need)",
    positive,
  ],
  ["--api-keys <list>", "API_KEYS", "bearer keys, with commas between", list, []],
  ["--state-secret <text>", "STATE_SECRET", "signs states (default: random for each process)", secret],
  [
    "--session-store <url>",
    "SESSION_STORE",
    "where sessions are kept: memory, redis://… or rediss://…",
    String,
    "memory",
  ],
  [
    "--session-ttl <s>",
    "SESSION_TTL_S",
    "seconds that a session is kept after its last use",
    seconds,
    86_400,
  ],
  ["--max-sessions <n>", "MAX_SESSIONS", "sessions of one API key, or of all without keys", positive, 1000],
  ["--rate-limit <n>", "RATE_LIMIT", "requests a second of one client, 0: no limit", count, 0],
  [
    "--rate-limit-burst <n>",
    "RATE_LIMIT_BURST",
    "requests of one client above the rate, now and then",
    count,
    20,
  ],
  ["--trust-proxy <n>", "TRUST_PROXY", "proxies in front, whose X-Forwarded-For names the client", count, 0],
  [
    "--drain-timeout <s>",
    "DRAIN_TIMEOUT_S",
    "seconds that requests may take to end after SIGTERM",
    seconds,
    60,
  ],
  ["--idle-timeout <s>", "IDLE_TIMEOUT_S", "seconds that a client may leave its stream unread", seconds, 60],
  ["--headers-timeout <s>", "HEADERS_TIMEOUT_S", "seconds for a request's headers", seconds, 10],
  ["--request-timeout <s>", "REQUEST_TIMEOUT_S", "seconds for a whole request to come in", seconds, 30],
  ["--keep-alive-timeout <s>", "KEEP_ALIVE_TIMEOUT_S", "seconds that an idle connection stays", seconds, 75],
  [
    "--heartbeat-timeout <s>",
    "HEARTBEAT_TIMEOUT_S",
    "seconds without an answer of the GPU to be dead",
    seconds,
    120,
  ],
];

const choices = [
  new Option("--log-format <format>", "text: a line a request; json: for machines")
    .choices(["text", "json"])
    .default("text")
    .env("LOG_FORMAT"),
  new Option("--log-level <level>", "least important lines to log")
    .choices(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .env("LOG_LEVEL"),
];

/** Every environment variable that `resonant serve` reads. */
export const settingNames: readonly string[] = [
  ...rows.map(([, env]) => env),
  "LOG_FORMAT",
  "LOG_LEVEL",
  "MODEL_NAME",
  "MODEL_CHECKPOINT",
  "ADAPTER_PLACEMENT",
  "ATTENTION",
  "ALIGNMENT",
  "DEVICE",
  "WEIGHT_FORMAT",
];

/** Adds a flag for each setting, which its environment variable also sets. */
export function withServeOptions(command: Command): Command {
  for (const [flags, env, description, parse, value] of rows) {
    const option = new Option(flags, description).env(env).argParser(parse);
    const shown = Array.isArray(value) ? value.join(",") || "none needed" : undefined;
    command.addOption(value === undefined ? option : option.default(value, shown));
  }
  for (const option of choices) command.addOption(option);
  return withModel(command).addOption(alignmentOption());
}
