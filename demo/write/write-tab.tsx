import { useSignal } from "@preact/signals";
import { Oscillators } from "../oscillators/oscillators.tsx";
import { Problem } from "../shell/problem.tsx";
import type { Desk } from "./desk.ts";
import { PaneView } from "./pane-view.tsx";
import { SamplingView } from "./sampling-view.tsx";
import type { Mark } from "./transcript.tsx";

const NAMES = ["First text", "Second text"];

/** The texts that are written, and the oscillators of one of them. */
export function WriteTab({ desk }: { desk: Desk }) {
  const marked = useSignal<Mark | undefined>(undefined);
  const panes = desk.panes.value;
  const shown = desk.shown.value;
  const problem = desk.failure.value;
  return (
    <div class="write">
      <div class="desk">
        {problem && <Problem message={problem.message} />}
        <div class="panes">
          {panes.map((pane, i) => (
            <PaneView
              key={pane.key}
              desk={desk}
              pane={pane}
              name={panes.length > 1 ? NAMES[i]! : "Text"}
              marked={marked.value}
            />
          ))}
        </div>
        <SamplingView controls={desk.controls} />
      </div>
      <aside aria-label="Oscillators">
        {shown && (
          <Oscillators
            key={shown.key}
            shape={shown.model.shape}
            software={shown.model.software}
            history={shown.history}
            onToken={(offset, length) => {
              marked.value = { offset, length };
            }}
          />
        )}
      </aside>
    </div>
  );
}
