import { useId, useRef } from "preact/hooks";
import { messageOn } from "../engine/errors.ts";
import type { Written } from "../engine/protocol.ts";
import { Problem } from "../shell/problem.tsx";
import { OPTION_NAMES } from "./sampling.ts";
import type { Session } from "./session.ts";
import { type Mark, Transcript } from "./transcript.tsx";
import type { Workspace } from "./workspace.ts";

const ENDINGS: Record<Written["reason"], string> = {
  length: "Written to the last token asked for.",
  eos: "The model ended the text.",
  stop: "A stop sequence came.",
  stopped: "Stopped.",
};

/** A session's transcript, draft, buttons and figures. */
export function SessionView({
  workspace,
  session,
  name,
  marked,
}: {
  workspace: Workspace;
  session: Session;
  name: string;
  marked: Mark | undefined;
}) {
  const id = useId();
  const file = useRef<HTMLInputElement>(null);
  const writing = session.writing.value;
  const { portable } = session.model;
  const started = !session.fresh;
  const draft = session.draft.value;
  const idle = !writing && workspace.ready.value;
  const canWrite = idle && (started || draft !== "");
  const several = workspace.sessions.value.length > 1;
  const shown = workspace.shown.value === session;
  return (
    <article class="session" aria-label={name} data-shown={several && shown}>
      {several && (
        <header>
          <h2>{name}</h2>
          <button
            type="button"
            class="plain"
            aria-pressed={shown}
            onClick={() => {
              workspace.shown.value = session;
            }}
          >
            Oscillators
          </button>
          <button
            type="button"
            class="plain"
            onClick={() => workspace.close(session)}
            aria-label={`Close ${name}`}
          >
            Close
          </button>
        </header>
      )}
      <Transcript session={session} label={`${name}: text`} marked={shown ? marked : undefined} />
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (canWrite) void workspace.write(session);
        }}
      >
        <label for={`${id}-draft`}>{started ? "Add to it (or leave empty to go on)" : "Begin a text"}</label>
        <textarea
          id={`${id}-draft`}
          rows={2}
          value={draft}
          placeholder={started ? "" : "ROMEO:"}
          onInput={({ currentTarget }) => {
            session.draft.value = currentTarget.value;
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
              event.preventDefault();
              event.currentTarget.form?.requestSubmit();
            }
          }}
        />
        <div class="actions">
          {writing ? (
            <button type="button" class="primary" onClick={() => void session.stop()}>
              Stop
            </button>
          ) : (
            <button type="submit" class="primary" disabled={!canWrite}>
              {started ? (draft === "" ? "Continue" : "Add and continue") : "Write"}
            </button>
          )}
          <button
            type="button"
            disabled={!started || !idle || !portable || !workspace.canFork.value}
            onClick={() => void workspace.fork(session)}
          >
            Fork
          </button>
          <button
            type="button"
            disabled={!started || !idle || !portable}
            onClick={() => void workspace.save(session)}
          >
            Save state
          </button>
          <button type="button" disabled={!idle || !portable} onClick={() => file.current?.click()}>
            Load state…
          </button>
          <input
            ref={file}
            type="file"
            class="hidden"
            tabIndex={-1}
            aria-label={`State file for ${name}`}
            onChange={({ currentTarget }) => {
              const [chosen] = currentTarget.files ?? [];
              if (chosen) void workspace.load(session, chosen);
              currentTarget.value = "";
            }}
          />
          <button type="button" disabled={!started || !idle} onClick={() => void workspace.restart(session)}>
            Start over
          </button>
        </div>
      </form>
      <SessionFigures session={session} />
    </article>
  );
}

function SessionFigures({ session }: { session: Session }) {
  const figures = session.figures.value;
  const ending = session.ending.value;
  const seed = session.seed.value;
  const { stateBytes, portable } = session.model;
  return (
    <>
      <dl class="figures">
        <Figure
          name="Speed"
          value={figures?.perSecond === undefined ? "–" : `${round(figures.perSecond)} tokens/s`}
        />
        <Figure
          name="First token"
          value={figures ? `${Math.round(figures.first).toLocaleString()} ms` : "–"}
        />
        <Figure name="Remembers" value={`${session.position.value.toLocaleString()} tokens`} />
        <Figure
          name="In a state of"
          value={`${(stateBytes / 1024).toFixed(1)} kB${portable ? "" : " and a cache"}`}
        />
        {seed !== undefined && <Figure name="Seed" value={`${seed}`} />}
      </dl>
      {ending?.kind === "failed" && ending.failure.code !== "device_lost" && (
        <Problem message={messageOn(ending.failure, OPTION_NAMES)} />
      )}
      <p class="ending" role="status">
        {ending?.kind === "written" ? `${ENDINGS[ending.reason]} ${figures?.tokens ?? 0} tokens.` : ""}
      </p>
    </>
  );
}

const Figure = ({ name, value }: { name: string; value: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);

const round = (value: number): string =>
  value < 100 ? value.toPrecision(3) : Math.round(value).toLocaleString();
