import "./search.css";
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { RetrievalMode } from "../../engine/retrieval/retrieval.ts";
import type { SearchAnswer, SearchRequest } from "../engine/protocol.ts";
import { HeatStrip } from "./heat-strip.tsx";
import { MatchList } from "./match-list.tsx";
import { sample } from "./sample.ts";
import { readText, SourceText, TextSourceField } from "./text-source.tsx";
import { TextViewer } from "./text-viewer.tsx";
import {
  confidenceInWords,
  count,
  duration,
  FAINT,
  type Fault,
  type Field,
  faultOf,
  faulty,
  MODES,
} from "./words.ts";

/** How many parts the profile has: one for each pixel of a strip this wide. */
const PARTS = 2048;
const MOST_MATCHES = 100;

export interface SearchTabProps {
  /** The retrieval modes that the model has. */
  readonly modes: readonly RetrievalMode[];
  /** Searches. Calls `onProgress` with the characters searched so far; throws the signal's reason when aborted. */
  run(
    request: SearchRequest,
    onProgress: (characters: number) => void,
    signal: AbortSignal,
  ): Promise<SearchAnswer>;
}

interface Found {
  readonly text: string;
  readonly answer: SearchAnswer;
  /** The source's revision when it was searched. */
  readonly version: number;
}

/** The Search tab: paste a text, search it, see where it resembles the needle. */
export function SearchTab({ modes, run }: SearchTabProps) {
  const source = useMemo(() => new SourceText(), []);
  const dropping = useSignal(false);
  const needle = useSignal("");
  const mode = useSignal<RetrievalMode | undefined>(undefined);
  const matches = useSignal("5");
  const fault = useSignal<Fault | undefined>(undefined);
  const running = useSignal<{ readonly done: number; readonly total: number } | undefined>(undefined);
  const stopped = useSignal(false);
  const found = useSignal<Found | undefined>(undefined);
  const controller = useRef<AbortController | undefined>(undefined);
  const form = useRef<HTMLFormElement>(null);
  const used =
    mode.value !== undefined && modes.includes(mode.value)
      ? mode.value
      : (modes.find((name) => name === "hybrid") ?? modes[0]);
  useEffect(() => () => controller.current?.abort(), []);

  const refuse = (error: unknown): void => {
    fault.value = faultOf(error);
    const { field } = fault.value;
    if (field) form.current?.querySelector<HTMLElement>(`#search-${field}`)?.focus();
  };
  const search = async (): Promise<void> => {
    if (running.value || used === undefined) return;
    const [context, version, topK] = [source.read(), source.version.value, Number(matches.value)];
    fault.value = undefined;
    stopped.value = false;
    if (context === "")
      return refuse(faulty("context", "is empty", "Paste a text, open a file or try the sample"));
    if (needle.value === "") return refuse(faulty("needle", "is empty", "Say what to look for"));
    if (!(Number.isInteger(topK) && topK >= 1 && topK <= MOST_MATCHES)) {
      return refuse(faulty("topK", `say a whole number from 1 to ${MOST_MATCHES}`));
    }
    controller.current = new AbortController();
    const { signal } = controller.current;
    const total = context.length;
    running.value = { done: 0, total };
    try {
      const request = { context, needle: needle.value, mode: used, topK, parts: PARTS };
      const answer = await run(
        request,
        (done) => {
          if (running.value) running.value = { done, total };
        },
        signal,
      );
      found.value = { text: context, answer, version };
    } catch (error) {
      if (signal.aborted) stopped.value = true;
      else refuse(error);
    } finally {
      running.value = undefined;
    }
  };
  const open = async (file: File): Promise<void> => {
    fault.value = undefined;
    try {
      source.set(await readText(file), file.name);
    } catch (error) {
      refuse(error);
    }
  };
  const trySample = (): void => {
    const { text, needle: own } = sample();
    source.set(text);
    needle.value = own;
    void search();
  };
  const faultIn = (field: Field): string | undefined =>
    fault.value?.field === field ? fault.value.message : undefined;
  const describe = (field: Field, more = ""): string =>
    `${more}${faultIn(field) === undefined ? "" : ` search-${field}-fault`}`.trim();
  const faultLine = (field: Field) =>
    faultIn(field) !== undefined && (
      <p id={`search-${field}-fault`} class="search-fault" role="alert">
        {faultIn(field)}
      </p>
    );

  return (
    <div class="search">
      <p class="search-intro">
        Finds where a text resonates with a needle: the places that leave in the model’s memories what the
        needle leaves there, even if some letters are changed, missing or added. That is likeness of letters
        and their order, not of meaning.
      </p>
      <form
        ref={form}
        class="search-form"
        noValidate
        onInput={() => {
          fault.value = undefined;
        }}
        onSubmit={(event) => {
          event.preventDefault();
          void search();
        }}
      >
        <TextSourceField
          source={source}
          fault={faultIn("context")}
          dropping={dropping}
          onFile={(file) => void open(file)}
          onSample={trySample}
        />
        <div class="search-asked">
          <div class="search-field needle">
            <label for="search-needle">Needle</label>
            <input
              id="search-needle"
              type="text"
              value={needle}
              autocomplete="off"
              spellcheck={false}
              enterkeyhint="search"
              placeholder="What to look for"
              aria-invalid={faultIn("needle") !== undefined}
              aria-describedby={describe("needle")}
              onInput={(event) => {
                needle.value = event.currentTarget.value;
              }}
            />
            {faultLine("needle")}
          </div>
          <div class="search-field">
            <label for="search-mode">Compared in</label>
            <select
              id="search-mode"
              value={used}
              aria-invalid={faultIn("mode") !== undefined}
              aria-describedby={describe("mode", "search-mode-says")}
              onChange={(event) => {
                mode.value = event.currentTarget.value as RetrievalMode;
              }}
            >
              {modes.map((name) => (
                <option key={name} value={name}>
                  {MODES[name].name}
                </option>
              ))}
            </select>
            {faultLine("mode")}
          </div>
          <div class="search-field few">
            <label for="search-topK">Matches</label>
            <input
              id="search-topK"
              type="number"
              min={1}
              max={MOST_MATCHES}
              value={matches}
              aria-invalid={faultIn("topK") !== undefined}
              aria-describedby={describe("topK")}
              onInput={(event) => {
                matches.value = event.currentTarget.value;
              }}
            />
            {faultLine("topK")}
          </div>
          <p id="search-mode-says" class="search-soft">
            {used === undefined ? "This model has no memory to search with." : MODES[used].says}
          </p>
          {running.value ? (
            <button key="stop" type="button" class="search-go" onClick={() => controller.current?.abort()}>
              Stop
            </button>
          ) : (
            <button key="search" type="submit" class="search-go" disabled={used === undefined}>
              Search
            </button>
          )}
        </div>
      </form>
      <Progress running={running.value} />
      {fault.value?.field === undefined && fault.value && (
        <p class="search-fault" role="alert">
          {fault.value.message}
        </p>
      )}
      <p class="search-summary" role="status">
        {running.value ? "" : stopped.value ? "Stopped." : found.value ? summary(found.value.answer) : ""}
      </p>
      {found.value && (
        <Result
          key={found.value.answer}
          {...found.value}
          stale={found.value.version !== source.version.value}
        />
      )}
    </div>
  );
}

function summary({ matches, tokens, characters, milliseconds }: SearchAnswer): string {
  const { confidence } = matches[0]!;
  const searched = `Searched ${count(characters, "character")} (${count(tokens, "token")}) in ${duration(milliseconds)}.`;
  return confidence < FAINT
    ? `${searched} Nothing stands out from the text’s background: the needle is probably not in it. These places resemble it most.`
    : `${searched} The best match ${confidenceInWords(confidence)}.`;
}

function Progress({ running }: { readonly running: { done: number; total: number } | undefined }) {
  if (!running) return null;
  const { done, total } = running;
  return (
    <div class="search-progress">
      <progress value={done} max={total} aria-label="Searched so far" />
      <span class="search-soft">
        {done.toLocaleString("en")} of {count(total, "character")}
      </span>
    </div>
  );
}

function Result({ text, answer, stale }: Found & { readonly stale: boolean }) {
  const place = useSignal({ offset: answer.matches[0]!.start, match: 0 as number | undefined, choice: 0 });
  const viewer = useRef<HTMLDivElement>(null);
  const { offset, match, choice } = place.value;
  const goTo = (to: number, own: number | undefined): void => {
    place.value = { offset: to, match: own, choice: choice + 1 };
  };
  const choose = (index: number): void => goTo(answer.matches[index]!.start, index);
  const chooseFromList = (index: number): void => {
    choose(index);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    viewer.current?.scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
  };
  return (
    <section class="search-result" aria-label="Result">
      {stale && (
        <p class="search-soft">The text has been changed since; this is the result for what it was.</p>
      )}
      <HeatStrip
        answer={answer}
        place={offset}
        match={match}
        onPlace={(to) => goTo(to, undefined)}
        onMatch={choose}
      />
      <div class="search-found">
        <div ref={viewer}>
          <TextViewer
            text={text}
            matches={answer.matches}
            place={offset}
            match={match}
            choice={choice}
            onMatch={choose}
          />
        </div>
        <MatchList text={text} matches={answer.matches} chosen={match} onMatch={chooseFromList} />
      </div>
    </section>
  );
}
