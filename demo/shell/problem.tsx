import type { ComponentChildren } from "preact";

/** Shows what went wrong, and what the reader can do about it. */
export const Problem = ({ message, children }: { message: string; children?: ComponentChildren }) => (
  <div class="problem" role="alert">
    <p>{sentence(message)}</p>
    {children}
  </div>
);

/** A message as a sentence, followed by `more`. A leading address or field name keeps its case. */
export function sentence(text: string, then = ""): string {
  const whole = /^\p{L}+[\s,]/u.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return `${whole}${/[.!?]$/.test(whole) ? "" : "."} ${then}`.trim();
}
