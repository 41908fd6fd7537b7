import * as v from "valibot";
import { logitBiasRange } from "../../engine/sampling-options.ts";
import { after } from "./fields.ts";
import type { Limits } from "./limits.ts";

const { least, most, entries } = logitBiasRange;

/** A pattern of the whole numbers below `end` as text, without leading zeros. */
export function numbersBelow(end: number): string {
  const digits = String(end - 1);
  const upTo = (digit: number, from: number): string[] => (digit > from ? [`[${from}-${digit - 1}]`] : []);
  const rest = (count: number): string => (count > 0 ? `[0-9]{${count}}` : "");
  const shorter = Array.from({ length: digits.length - 1 }, (_, i) => `[1-9]${rest(i)}`);
  const asLong = [...digits].flatMap((digit, i) =>
    upTo(Number(digit), i === 0 ? 1 : 0).map(
      (first) => digits.slice(0, i) + first + rest(digits.length - i - 1),
    ),
  );
  return `^(?:${[...new Set(["0", ...shorter, ...asLong, digits])].join("|")})$`;
}

// A number and nothing else: this part of a body is not the contract's.
const range = `between ${least} and ${most}`;
const bias = v.pipe(
  v.number(`a number ${range}`),
  v.minValue(least, range),
  v.maxValue(most, range),
  v.description("Is added to the token's logit"),
);

/** Schema of biases by token id. */
export function logitBiasField({ vocabulary }: Limits) {
  const pattern = numbersBelow(vocabulary);
  const ids = new RegExp(pattern);
  const message = `an object of at most ${entries} token ids from 0 to ${vocabulary - 1}, each with a number from ${least} to ${most}`;
  return v.nullish(
    v.pipe(
      after(
        (value) => (Array.isArray(value) ? "a list" : value), // which valibot would take for an object
        v.record(v.string(), bias, message),
      ),
      v.check((biases) => {
        const names = Object.keys(biases);
        return names.length <= entries && names.every((name) => ids.test(name));
      }, message),
      v.metadata({ maxProperties: entries, propertyNames: { pattern } }),
      v.description(
        "Numbers to add to the logits of tokens, by token id: −100 forbids a token, 100 takes no other",
      ),
    ),
  );
}
