import { useComputed, useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { SearchAnswer } from "../engine/protocol.ts";
import { cutAt, runsOf } from "./excerpt.ts";
import { FAINT } from "./words.ts";

/** The text is shown in chunks: UTF-16 units of one, and how many are shown at once. */
const CHUNK = 4000;
const MOST_CHUNKS = 5;
/** The next chunk is shown when scrolled this close, in pixels, to an end. */
const NEAR = 400;

interface Props {
  readonly text: string;
  readonly matches: SearchAnswer["matches"];
  readonly place: number;
  readonly match: number | undefined;
  /** Changes at every choice, even when the same place is chosen again. */
  readonly choice: number;
  onMatch(index: number): void;
}

/** The text around a place; scrolling shows more. */
export function TextViewer({ text, matches, place, match, choice, onMatch }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const last = Math.ceil(text.length / CHUNK) - 1;
  const home = Math.floor(place / CHUNK);
  const shown = useSignal({ choice: -1, first: 0, end: 0 });
  if (shown.peek().choice !== choice) {
    shown.value = { choice, first: Math.max(0, home - 1), end: Math.min(last, home + 1) + 1 };
  }
  const { first, end } = shown.value;
  const anchor = useRef<{ chunk: number; top: number } | undefined>(undefined);
  const chunkTop = (chunk: number): number | undefined =>
    box.current?.querySelector(`[data-chunk="${chunk}"]`)?.getBoundingClientRect().top;

  useLayoutEffect(() => {
    const view = box.current!;
    const target = view.querySelector(match === undefined ? ".search-cursor" : `[data-match="${match}"]`);
    if (!target) return;
    const { top, height } = target.getBoundingClientRect();
    const own = view.getBoundingClientRect();
    view.scrollTop += top - own.top - Math.max(0, (own.height - height) / 2);
  }, [choice]);

  useLayoutEffect(() => {
    if (!anchor.current) return;
    const { chunk, top } = anchor.current;
    anchor.current = undefined;
    box.current!.scrollTop += (chunkTop(chunk) ?? top) - top;
  }, [first, end]);

  const scrolled = (): void => {
    const { scrollTop, scrollHeight, clientHeight } = box.current!;
    const up = scrollTop < NEAR && first > 0;
    const down = !up && scrollHeight - scrollTop - clientHeight < NEAR && end <= last;
    if (!(up || down)) return;
    const chunk = up ? first : end - 1;
    anchor.current = { chunk, top: chunkTop(chunk)! };
    shown.value = up
      ? { choice, first: first - 1, end: Math.min(end, first - 1 + MOST_CHUNKS) }
      : { choice, first: Math.max(first, end + 1 - MOST_CHUNKS), end: end + 1 };
  };

  const along = useComputed(() =>
    [...matches.keys()].sort((a, b) => matches[a]!.start - matches[b]!.start),
  ).value;
  const before = along.findLast((index) =>
    match === undefined ? matches[index]!.start <= place : matches[index]!.start < matches[match]!.start,
  );
  const after = along.find(
    (index) => matches[index]!.start > (match === undefined ? place : matches[match]!.start),
  );

  const chunk = (number: number) => {
    const from = cutAt(text, number * CHUNK);
    const to = cutAt(text, Math.min(text.length, (number + 1) * CHUNK));
    return (
      <span key={number} data-chunk={number}>
        {runsOf({ start: from, end: to }, matches).map(({ start, end, match: own }) => {
          const here = match === undefined && place >= start && place < end ? cutAt(text, place) : undefined;
          const content =
            here === undefined ? (
              text.slice(start, end)
            ) : (
              <>
                {text.slice(start, here)}
                <span class="search-cursor" />
                {text.slice(here, end)}
              </>
            );
          if (own === undefined) return content;
          return (
            <mark
              key={start}
              data-match={own}
              class={`${own === match ? "chosen" : ""} ${matches[own]!.confidence < FAINT ? "faint" : ""}`}
            >
              {content}
            </mark>
          );
        })}
      </span>
    );
  };

  return (
    <section class="search-viewer" aria-label="The text around the chosen place">
      <div class="search-row">
        <span class="search-soft" aria-live="polite">
          {match === undefined ? "" : `Match ${match + 1} of ${matches.length} · `}
          character {place.toLocaleString("en")} of {text.length.toLocaleString("en")}
        </span>
        <span class="search-buttons">
          <button
            type="button"
            class="search-button"
            disabled={before === undefined}
            onClick={() => onMatch(before!)}
          >
            <span aria-hidden="true">←</span> Previous
          </button>
          <button
            type="button"
            class="search-button"
            disabled={after === undefined}
            onClick={() => onMatch(after!)}
          >
            Next <span aria-hidden="true">→</span>
          </button>
        </span>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex lint/a11y/useSemanticElements: it scrolls, by keyboard too */}
      <div ref={box} class="search-text" tabIndex={0} role="region" aria-label="Text" onScroll={scrolled}>
        {Array.from({ length: end - first }, (_, i) => chunk(first + i))}
      </div>
    </section>
  );
}
