import { type Logger, pino } from "pino";
import { safeText } from "../common/safe-text.ts";
import type { Settings } from "./settings.ts";

export type { Logger } from "pino";

/**
 * Creates the server's log. The format `text` writes lines as in the contract, in local time: `2025-11-14 12:34:56 - INFO -
 * POST /v1/generate - Status: 200 - Duration: 342.50ms`. The format `json` writes pino's objects.
 */
export function createLogger(
  { logFormat, logLevel }: Pick<Settings, "logFormat" | "logLevel">,
  out: { write(line: string): unknown } = process.stderr,
): Logger {
  const destination = logFormat === "json" ? out : { write: (line: string) => out.write(asText(line)) };
  return pino({ level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}

interface LogRecord {
  readonly level: number;
  readonly time: string;
  readonly msg?: string;
  readonly request_id?: string;
  readonly err?: { readonly stack?: string; readonly message?: string };
}

function asText(line: string): string {
  const { level, time, msg = "", request_id, err }: LogRecord = JSON.parse(line);
  const word = level >= 50 ? "ERROR" : level >= 40 ? "WARNING" : level >= 30 ? "INFO" : "DEBUG";
  const request = err && request_id ? ` (request ${request_id})` : "";
  const cause = err ? `${request}: ${safeText(err.stack ?? err.message ?? "")}` : "";
  return `${localTime(new Date(time))} - ${word} - ${onOneLine(msg)}${cause}\n`;
}

/** Escapes control characters: text quoted from a request must not add lines or colours to the log. */
const onOneLine = (text: string): string => text.replace(/[\p{Cc}\u2028\u2029]/gu, encodeURIComponent);

function localTime(time: Date): string {
  const shifted = new Date(time.getTime() - time.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19).replace("T", " ");
}
