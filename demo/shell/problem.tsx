import type { ComponentChildren } from "preact";

/** What went wrong, and what can be done about it. */
export const Problem = ({ message, children }: { message: string; children?: ComponentChildren }) => (
  <div class="problem" role="alert">
    <p>{sentence(message)}</p>
    {children}
  </div>
);

/** A message as a sentence, and what follows it. It may begin with an address or a field's name, which stay as they are. */
export function sentence(text: string, then = ""): string {
  const whole = /^\p{L}+[\s,]/u.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return `${whole}${/[.!?]$/.test(whole) ? "" : "."} ${then}`.trim();
}
