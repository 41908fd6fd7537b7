import { ResonantError } from "../common/errors.ts";

/**
 * @param option how the caller's function calls its tokens
 * @throws ResonantError `invalid_argument` naming a token that is none of the `vocabulary`
 */
export function checkTokens(
  vocabulary: number,
  tokens: { find(is: (id: number) => boolean): number | undefined },
  option: string,
): void {
  const bad = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary);
  if (bad === undefined) return;
  throw new ResonantError("invalid_argument", `token ${bad} is not among the model's ${vocabulary}`, {
    option,
  });
}
