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

/**
 * What another interface calls an option of the library, given as its caller writes it: `topK` is `top_k` in HTTP and
 * `--top-k` in a shell, `stopSequences[0]` is `stop_sequences[0]` and `--stop`.
 */
export type OptionName = (option: string) => string;

export interface ErrorDetail {
  /** The library's option at fault, as its caller writes it: `topK`, `stopSequences[0]`. */
  readonly option?: string | undefined;
  /** The file, tensor, field, flag, kernel or buffer concerned. Default: the option. */
  readonly where?: string | undefined;
  /** What the reader can do about it; a function where it mentions options. */
  readonly fix?: string | ((name: OptionName) => string) | undefined;
  readonly cause?: unknown;
}

/** Every error this project raises on purpose: a code, what is wrong, where, and how to mend it. */
export class ResonantError extends Error {
  override readonly name = "ResonantError";
  readonly code: ErrorCode;
  /** What is wrong, without where and how to mend it. */
  readonly problem: string;
  /** The library's option at fault, as its caller writes it. */
  readonly option: string | undefined;
  /** The file, tensor, field, flag, kernel or buffer concerned, or the option at fault. */
  readonly where: string | undefined;
  /** What the reader can do about it. */
  readonly fix: string | undefined;
  readonly #detail: ErrorDetail;

  constructor(code: ErrorCode, problem: string, detail: ErrorDetail = {}) {
    const where = detail.where ?? detail.option;
    const fix = typeof detail.fix === "function" ? detail.fix((option) => option) : detail.fix;
    super(asMessage(where, problem, fix), detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.problem = problem;
    this.option = detail.option;
    this.where = where;
    this.fix = fix;
    this.#detail = detail;
  }

  /** The same error with options under another interface's names. What is no option keeps its name. */
  renamed(name: OptionName): ResonantError {
    const { option, where = option && name(option), fix } = this.#detail;
    return new ResonantError(this.code, this.problem, {
      option,
      where,
      fix: typeof fix === "function" ? fix(name) : fix,
      cause: this,
    });
  }
}

const asMessage = (where: string | undefined, problem: string, fix: string | undefined): string =>
  `${where ? `${where}: ` : ""}${problem}${fix ? `. ${fix}` : ""}`;
