import type { Model } from "../engine/model.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Returns a token's text: a special token as the tokenizer writes it, and `bytes:\xe2\x82` for bytes that are not valid UTF-8 on
 * their own.
 */
export function tokenName({ tokenizer }: Model, token: number): string {
  if (!tokenizer) return "";
  if (tokenizer.specialIds.has(token)) return tokenizer.token(token) ?? "";
  const bytes = tokenizer.bytes(token);
  try {
    return decoder.decode(bytes);
  } catch {
    return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
  }
}
