import { useId, useRef } from "preact/hooks";
import type { Written } from "../engine/protocol.ts";
import { Problem } from "../shell/problem.tsx";
import type { Desk } from "./desk.ts";
import type { Pane } from "./pane.ts";
import { type Mark, Transcript } from "./transcript.tsx";

const ENDINGS: Record<Written["reason"], string> = {
  max_tokens: "Written to the last token asked for.",
  eos_token: "The model ended the text.",
  stop_sequence: "A stop sequence came.",
  stopped: "Stopped.",
};

/** A text: what was written, what to write, and what to do with it. */
export function PaneView({
  desk,
  pane,
  name,
  marked,
}: {
  desk: Desk;
  pane: Pane;
  name: string;
  marked: Mark | undefined;
}) {
  const id = useId();
  const file = useRef<HTMLInputElement>(null);
  const writing = pane.writing.value;
  const { portable } = pane.model;
  const started = !pane.fresh;
  const draft = pane.draft.value;
  const idle = !writing && desk.ready.value;
  const canWrite = idle && (started || draft !== "");
  const several = desk.panes.value.length > 1;
  const shown = desk.shown.value === pane;
  return (
    <article class="pane" aria-label={name} data-shown={several && shown}>
      {several && (
        <header>
          <h2>{name}</h2>
          <button
            type="button"
            class="plain"
            aria-pressed={shown}
            onClick={() => {
              desk.shown.value = pane;
            }}
          >
            Oscillators
          </button>
          <button type="button" class="plain" onClick={() => desk.close(pane)} aria-label={`Close ${name}`}>
            Close
          </button>
        </header>
      )}
      <Transcript pane={pane} label={`${name}: text`} marked={shown ? marked : undefined} />
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (canWrite) void desk.write(pane);
        }}
      >
        <label for={`${id}-draft`}>{started ? "Add to it (or leave empty to go on)" : "Begin a text"}</label>
        <textarea
          id={`${id}-draft`}
          rows={2}
          value={draft}
          placeholder={started ? "" : "ROMEO:"}
          onInput={({ currentTarget }) => {
            pane.draft.value = currentTarget.value;
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
            <button type="button" class="primary" onClick={() => void pane.stop()}>
              Stop
            </button>
          ) : (
            <button type="submit" class="primary" disabled={!canWrite}>
              {started ? (draft === "" ? "Continue" : "Add and continue") : "Write"}
            </button>
          )}
          <button
            type="button"
            disabled={!started || !idle || !portable || !desk.canFork.value}
            onClick={() => void desk.fork(pane)}
          >
            Fork
          </button>
          <button
            type="button"
            disabled={!started || !idle || !portable}
            onClick={() => void desk.save(pane)}
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
              if (chosen) void desk.load(pane, chosen);
              currentTarget.value = "";
            }}
          />
          <button type="button" disabled={!started || !idle} onClick={() => void desk.restart(pane)}>
            Start over
          </button>
        </div>
      </form>
      <PaneFigures pane={pane} />
    </article>
  );
}

function PaneFigures({ pane }: { pane: Pane }) {
  const figures = pane.figures.value;
  const ending = pane.ending.value;
  const seed = pane.seed.value;
  const { stateBytes, portable } = pane.model;
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
        <Figure name="Remembers" value={`${pane.position.value.toLocaleString()} tokens`} />
        <Figure
          name="In a state of"
          value={`${(stateBytes / 1024).toFixed(1)} kB${portable ? "" : " and a cache"}`}
        />
        {seed !== undefined && <Figure name="Seed" value={`${seed}`} />}
      </dl>
      {ending?.kind === "failed" && ending.failure.code !== "device_lost" && (
        <Problem message={ending.failure.message} />
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
