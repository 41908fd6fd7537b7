import { useSignal } from "@preact/signals";
import { Oscillators } from "../oscillators/oscillators.tsx";
import { Problem } from "../shell/problem.tsx";
import { SamplingView } from "./sampling-view.tsx";
import { SessionView } from "./session-view.tsx";
import type { Mark } from "./transcript.tsx";
import type { Workspace } from "./workspace.ts";

const NAMES = ["First text", "Second text"];

/** The Write tab: the sessions, and the oscillators of one of them. */
export function WriteTab({ workspace }: { workspace: Workspace }) {
  const marked = useSignal<Mark | undefined>(undefined);
  const sessions = workspace.sessions.value;
  const shown = workspace.shown.value;
  const problem = workspace.failure.value;
  return (
    <div class="write">
      <div class="workspace">
        {problem && <Problem message={problem.message} />}
        <div class="sessions">
          {sessions.map((session, i) => (
            <SessionView
              key={session.key}
              workspace={workspace}
              session={session}
              name={sessions.length > 1 ? NAMES[i]! : "Text"}
              marked={marked.value}
            />
          ))}
        </div>
        <SamplingView controls={workspace.controls} />
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
