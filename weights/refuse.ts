import { ResonantError } from "../common/errors.ts";

/** An error for a file that is truncated, malformed, or not what it should be. */
export function invalidFile(where: string, message: string, fix?: string, cause?: unknown): ResonantError {
  return new ResonantError("invalid_file", message, { where, ...(fix ? { fix } : {}), cause });
}

/** An error for a well-formed file that holds something this engine does not support. */
export function unsupported(where: string, message: string, fix?: string): ResonantError {
  return new ResonantError("unsupported", message, { where, ...(fix ? { fix } : {}) });
}

/**
 * Runs a reader of a file. If the file makes JavaScript itself fail (a text too long, a nesting too deep, memory that cannot be
 * had), the error becomes one of the file.
 * @throws ResonantError `invalid_file` in the place of a RangeError; any other error as it is
 */
export async function withinRange<T>(file: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw asFileError(file, error);
  }
}

/** A RangeError as an error of the file that provoked it; any other error as it is. */
export function asFileError(file: string, error: unknown): unknown {
  if (!(error instanceof RangeError)) return error;
  return invalidFile(file, `it asks for more than can be read (${error.message})`, undefined, error);
}

/** Text from a file, made safe to print in an error: one line, printable, at most `limit` characters. */
export function printable(text: string, limit = 120): string {
  const clipped = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return clipped.replace(/[^\x20-\x7e\u00a0-\ud7ff…]/g, "?");
}

/** Sizes or strides, for an error: `[64, 32]`, at most the first 16. */
export function listed(numbers: readonly number[]): string {
  return `[${numbers.slice(0, 16).join(", ")}${numbers.length > 16 ? ", …" : ""}]`;
}
