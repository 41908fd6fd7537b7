import { Presets, SingleBar } from "cli-progress";
import type { Command } from "commander";
import { ResonantError } from "../common/errors.ts";
import { safeText } from "../common/safe-text.ts";
import { cannotWrite } from "../weights/node/file.ts";
import { flagNames } from "./flag-names.ts";

/**
 * Writes to standard output. Resolves when all is written: a process that exits earlier would lose output to a pipe. A terminal gets
 * it without control characters, since texts of a model, a state or a file may be in it; a file gets its bytes.
 */
export const print = (text: string): Promise<void> => write(process.stdout.isTTY ? safeText(text) : text);

export const printJson = (value: unknown): Promise<void> => print(`${JSON.stringify(value)}\n`);

const STYLES = { dim: ["\x1b[2m", "\x1b[22m"], bold: ["\x1b[1m", "\x1b[22m"] } as const;

/** A part of a line for {@link printStyled}: a text, or a text in a style. */
export type Styled = string | { readonly style: keyof typeof STYLES; readonly text: string };

/** Writes parts of a text to a terminal, some of them in a style. The texts are made safe, as by {@link print}. */
export const printStyled = (...parts: readonly Styled[]): Promise<void> => write(parts.map(styled).join(""));

function styled(part: Styled): string {
  if (typeof part === "string") return safeText(part);
  const [begin, end] = STYLES[part.style];
  return `${begin}${safeText(part.text)}${end}`;
}

function write(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

/** Writes a remark for the user to standard error, so that it never mixes with the output, without control characters. */
export const remark = (text: string): void => {
  process.stderr.write(`${safeText(text)}\n`);
};

/**
 * Ends the process when standard output cannot be written: quietly with 0 if its reader has closed the pipe, as `head` does, else
 * with a message and 1. The error stream may be full too; then nothing more can be said.
 */
export function watchOutput(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") remark(`error: ${cannotWrite("standard output", error).message}`);
    process.exit(error.code === "EPIPE" ? 0 : 1);
  });
  process.stderr.on("error", () => {});
}

/**
 * Prints an error on one line (with the stack for an unexpected one). Returns the exit status: 2 for wrong arguments, else 1.
 * @param command the command that ran; the error then names its flags
 */
export function fail(error: unknown, command?: Command): number {
  if (error instanceof ResonantError) {
    const { message } = command ? error.renamed(flagNames(command)) : error;
    remark(`error: ${message}`);
    return error.code === "invalid_argument" ? 2 : 1;
  }
  remark(`error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return 1;
}

/** Shows a progress bar on a terminal. Elsewhere it prints one line if `announce` is true, else nothing. */
export class Progress {
  readonly #bar: SingleBar | undefined;
  readonly #announcement: string | undefined;
  #started = false;

  constructor(label: string, unit = "", announce = false) {
    if (!process.stderr.isTTY) {
      this.#announcement = announce ? label : undefined;
      return;
    }
    const format = `${safeText(label)} [{bar}] {percentage} % {value}/{total}${unit && ` ${unit}`} {eta_formatted}`;
    this.#bar = new SingleBar(
      { format, stream: process.stderr, clearOnComplete: true, hideCursor: true },
      Presets.shades_classic,
    );
  }

  update(done: number, total: number): void {
    if (!this.#started) {
      this.#bar?.start(total, done);
      if (this.#announcement) remark(`${this.#announcement}, once: ${total} bytes`);
    } else this.#bar?.update(done);
    this.#started = true;
  }

  stop(): void {
    if (this.#started) this.#bar?.stop();
  }
}

/** Progress of the software driver's download. It is announced everywhere, since it takes long. */
export const downloadProgress = (): Progress =>
  new Progress("fetching a software Vulkan driver", "bytes", true);

/** Aligns rows as columns: the first column to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd();
  return `${rows.map(line).join("\n")}\n`;
}
