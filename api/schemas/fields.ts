import * as v from "valibot";

// Each message completes the sentence "<field> must be …".

const between = (least: number, most: number): string => `between ${least} and ${most}`;

/** Makes a schema take what `read` makes of a value. The document shows the schema as it is. */
export function after<T extends v.GenericSchema>(read: (value: unknown) => unknown, schema: T): T {
  const run = schema["~run"].bind(schema);
  return Object.assign(schema, {
    "~run": ((dataset, config) => {
      dataset.value = read(dataset.value);
      return run(dataset, config);
    }) as typeof run,
  });
}

// Numbers and flags are read as Pydantic reads them by default (its "lax mode"), since clients of the server that this one
// replaces send them so.
const INTEGER = /^[+-]?\d+(?:_\d+)*(?:\.0+)?$/;
const NUMBER = /^[+-]?(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const WORDS: Readonly<Record<string, boolean>> = {
  ...Object.fromEntries(["1", "on", "t", "true", "y", "yes"].map((word) => [word, true])),
  ...Object.fromEntries(["0", "off", "f", "false", "n", "no"].map((word) => [word, false])),
};

/** `"2"`, `" 2.0 "` and true (1) are numbers too; other values are left as they are. */
function laxNumber(value: unknown, form: RegExp): unknown {
  if (typeof value === "boolean") return Number(value);
  if (typeof value !== "string" || value.length > 64) return value;
  const text = value.trim();
  return form.test(text) ? Number(text.replaceAll("_", "")) : value;
}

/** 1, 0 and words such as `"true"`, `"No"` and `"off"` are flags too; other values are left as they are. */
function laxFlag(value: unknown): unknown {
  if (value === 0 || value === 1) return value === 1;
  if (typeof value !== "string" || value.length > 5) return value;
  const word = value.toLowerCase();
  return Object.hasOwn(WORDS, word) ? WORDS[word] : value;
}

/** Schema of a whole number from `least` to `most`. */
export function integer(least: number, most: number, description: string) {
  const range = between(least, most);
  const kind = `an integer ${range}`;
  return v.pipe(
    after((value) => laxNumber(value, INTEGER), v.number(kind)),
    v.integer(kind),
    v.minValue(least, range),
    v.maxValue(most, range),
    v.description(description),
  );
}

/** Schema of a number from `least` to `most`. `allowed` replaces the usual message. */
export function number(least: number, most: number, description: string, allowed?: string) {
  const range = allowed ?? between(least, most);
  return v.pipe(
    after((value) => laxNumber(value, NUMBER), v.number(allowed ?? `a number ${range}`)),
    v.minValue(least, range),
    v.maxValue(most, range),
    v.description(description),
  );
}

/** Schema of any whole number, for answers. */
export const whole = v.pipe(v.number(), v.integer());

/** Schema of a token's id, which is a number and nothing else: `["1"]` is a list of texts. */
export function tokenId(vocabulary: number) {
  const range = between(0, vocabulary - 1);
  const kind = `an integer ${range}`;
  return v.pipe(
    v.number(kind),
    v.integer(kind),
    v.minValue(0, range),
    v.maxValue(vocabulary - 1, range),
    v.description("Token id"),
  );
}

export const flag = (description: string) =>
  v.pipe(after(laxFlag, v.boolean("true or false")), v.description(description));

/** Returns the number of Unicode code points, which is how JSON Schema and the contract count characters. */
export function characters(text: string): number {
  let count = text.length;
  for (let i = 0; i + 1 < text.length; i++) if (isLead(text.charCodeAt(i))) count--;
  return count;
}

const isLead = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00;

/**
 * Schema of a well-formed text of `least` to `most` characters. The message names at least 1 character, since an empty
 * text counts as absent; `size` replaces that message.
 */
export function text(
  least: number,
  most: number,
  description: string,
  size = `of ${Math.max(1, least)} to ${most} characters`,
) {
  return v.pipe(
    v.string(`a string ${size}`),
    v.check((value) => value.isWellFormed(), "without lone surrogates"),
    v.check((value) => value.length >= least && characters(value) <= most, `a string ${size}`),
    v.metadata({ ...(least > 0 ? { minLength: least } : {}), maxLength: most }),
    v.description(description),
  );
}

export const picklist = <const T extends readonly [string, ...string[]]>(options: T, description: string) =>
  v.pipe(
    v.picklist(options, options.map((option) => JSON.stringify(option)).join(" or ")),
    v.description(description),
  );

export const list = <T extends v.GenericSchema>(item: T, least: number, most: number, what: string) =>
  v.pipe(
    v.array(item, `a list of ${least} to ${most} ${what}`),
    v.minLength(least, `a list of ${least} to ${most} ${what}`),
    v.maxLength(most, `a list of ${least} to ${most} ${what}`),
  );

/** Schema of a JSON object with these fields; other fields are ignored. Unlike valibot's `object`, it refuses arrays. */
export function object<const Entries extends v.ObjectEntries>(entries: Entries, message: string) {
  const schema: v.ObjectSchema<Entries, string> = v.object(entries, message);
  const run = schema["~run"].bind(schema);
  const refuse = v.never(message);
  return Object.assign(schema, {
    "~run": ((dataset, config) =>
      Array.isArray(dataset.value) ? refuse["~run"](dataset, config) : run(dataset, config)) as typeof run,
  });
}
