import type { Signal } from "@preact/signals";
import { useId } from "preact/hooks";
import type { History } from "./history.ts";
import { signed, visible } from "./telling.ts";

/** How many tokens of context are shown before a token. */
const CONTEXT = 12;

/** The tokens that changed R most, each a button, numbered as in the plot. */
export function Movers({
  history,
  tokens,
  held,
  choose,
}: {
  readonly history: History;
  readonly tokens: readonly number[];
  readonly held: Signal<number | undefined>;
  readonly choose: (token: number) => void;
}) {
  const id = useId();
  return (
    <>
      <h4 id={id}>What moved R most</h4>
      <ol class="osc-movers" aria-labelledby={id}>
        {tokens.map((token, rank) => {
          const change = history.change(token) ?? 0;
          return (
            <li key={token}>
              <button type="button" aria-pressed={held.value === token} onClick={() => choose(token)}>
                <span class="osc-rank">{rank + 1}</span>
                <span class="osc-context">
                  {history
                    .before(token, CONTEXT)
                    .split("\n")
                    .at(-1)!
                    .slice(-2 * CONTEXT)}
                  <mark>{visible(history.text(token))}</mark>
                </span>
                <span class="osc-change">
                  {change > 0 ? "▲" : "▼"} {signed(change)}
                </span>
              </button>
            </li>
          );
        })}
      </ol>
    </>
  );
}
