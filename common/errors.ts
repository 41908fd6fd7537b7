/** What went wrong, as a word a program can branch on. */
export type ErrorCode =
  | "invalid_argument" // a flag, field or option out of its range
  | "invalid_file" // a file that is truncated, malformed, or not what it should be
  | "unsupported" // well formed, but something this engine refuses by name
  | "no_adapter" // no WebGPU adapter, and no software one could be had
  | "device_lost"
  | "out_of_memory"
  | "shader" // a kernel that does not compile or validate
  | "model" // the model produced something unusable, such as NaN logits
  | "state"; // a saved state that is damaged or of another model

/** Every error this project raises on purpose: a code, a message, where it happened, and how to mend it. */
export class ResonantError extends Error {
  override readonly name = "ResonantError";
  readonly code: ErrorCode;
  /** The file, tensor, field, flag, kernel or buffer concerned. */
  readonly where: string | undefined;
  /** What the reader can do about it. */
  readonly fix: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    detail: { where?: string; fix?: string; cause?: unknown } = {},
  ) {
    super(
      `${detail.where ? `${detail.where}: ` : ""}${message}${detail.fix ? `. ${detail.fix}` : ""}`,
      detail.cause === undefined ? undefined : { cause: detail.cause },
    );
    this.code = code;
    this.where = detail.where;
    this.fix = detail.fix;
  }
}
