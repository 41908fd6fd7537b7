import type { History, Measure } from "./history.ts";

/** A token's text with visible white space. */
export const visible = (text: string): string =>
  text === "" ? "�" : text.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥");

const NAMES = ["R", "lattice"] as const;

export const signed = (change: number): string => `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(3)}`;

/** The values at the chosen token, or at the newest if none is chosen. */
export function tell(
  history: History,
  measures: readonly Measure[],
  cursor: number | undefined,
  layer: number | undefined,
): string {
  const token = cursor ?? history.end - 1;
  if (token < 0) return "Nothing measured yet";
  const parts = [`“${visible(history.text(token))}” at ${history.position(token)}`];
  const change = measures[0] === 0 ? history.change(token) : undefined;
  for (const which of measures) {
    const by = which === 0 && change !== undefined ? ` (${signed(change)})` : "";
    parts.push(`${NAMES[which]} ${history.mean(token, which).toFixed(3)}${by}`);
  }
  if (layer !== undefined) {
    for (const which of measures) {
      parts.push(`layer ${layer + 1} ${NAMES[which]} ${history.of(token, which, layer).toFixed(3)}`);
    }
  }
  return parts.join(" · ");
}

/** The newest values, and their range so far. */
export function describe(history: History, measures: readonly Measure[]): string {
  const { first, end } = history;
  if (end === 0) return "Coherence over tokens: nothing yet";
  const values = measures.map((which) => {
    let [least, largest] = [Number.POSITIVE_INFINITY, 0];
    for (let token = first; token < end; token++) {
      least = Math.min(least, history.mean(token, which));
      largest = Math.max(largest, history.mean(token, which));
    }
    const now = history.mean(end - 1, which).toFixed(3);
    const name = which === 0 ? "order parameter R" : "lattice coherence";
    return `${name} ${now}, between ${least.toFixed(3)} and ${largest.toFixed(3)}`;
  });
  return `Over ${end - first} tokens: ${values.join("; ")}`;
}
