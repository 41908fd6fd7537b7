import { ResonantError } from "../common/errors.ts";

/**
 * Checks that all tokens are below `vocabulary`.
 * @param option the name of the tokens in the caller's interface
 * @throws ResonantError `invalid_argument` naming the bad token
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
