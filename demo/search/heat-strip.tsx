import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { SearchAnswer } from "../engine/protocol.ts";
import { axisTicks, heatColour, heatRange, onScale, pinRows, similarityAt, stripColumns } from "./heat.ts";
import { useDark, useWidth } from "./measures.ts";
import { confidenceInWords, decimal, FAINT } from "./words.ts";

const PIN = 26;
const PIN_ROWS = 3;
const TICK = 84;
/** Minimum width of a match on the strip. */
const MATCH = 4;
const LEGEND = Array.from({ length: 9 }, (_, i) => i / 8);

interface Props {
  readonly answer: SearchAnswer;
  /** The chosen place (a UTF-16 offset), and the index of its match, if it is one. */
  readonly place: number;
  readonly match: number | undefined;
  onPlace(offset: number): void;
  onMatch(index: number): void;
}

/** Similarity along the text as colours, with the matches pinned to it. */
export function HeatStrip({ answer, place, match, onPlace, onMatch }: Props) {
  const { profile, matches, characters } = answer;
  const dark = useDark();
  const canvas = useRef<HTMLCanvasElement>(null);
  const pins = useRef<HTMLDivElement>(null);
  const width = useWidth(canvas);
  const dragging = useSignal(false);
  const restored = useSignal(0); // counts redraws after a lost GPU erased the picture
  const range = heatRange(profile);
  const share = (offset: number): number => offset / characters;

  useEffect(() => {
    const view = canvas.current!;
    const context = view.getContext("2d");
    if (!context || width === 0) return;
    const ratio = devicePixelRatio;
    view.width = Math.round(width * ratio);
    view.height = 1; // a row of colours, stretched
    context.clearRect(0, 0, view.width, 1);
    stripColumns(profile, matches, characters, view.width, Math.round(MATCH * ratio)).forEach((value, x) => {
      if (Number.isNaN(value)) return;
      context.fillStyle = heatColour(onScale(value, range), dark);
      context.fillRect(x, 0, 1, 1);
    });
  }, [answer, width, dark, restored.value]);

  const at = (event: PointerEvent): void => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    onPlace(Math.min(characters - 1, Math.floor(share * characters)));
  };
  const moved = (event: KeyboardEvent): void => {
    const steps: Record<string, number> = {
      ArrowLeft: -1,
      ArrowDown: -1,
      ArrowRight: 1,
      ArrowUp: 1,
      PageDown: -10,
      PageUp: 10,
    };
    const ends: Record<string, number> = { Home: 0, End: characters - 1 };
    const to = ends[event.key] ?? place + (steps[event.key] ?? Number.NaN) * Math.ceil(characters / 100);
    if (Number.isNaN(to)) return;
    event.preventDefault();
    onPlace(Math.min(characters - 1, Math.max(0, to)));
  };

  const rows = pinRows(
    matches.map(({ start }) => share(start) * width),
    PIN,
    PIN_ROWS,
  );
  const height = 1 + Math.max(0, ...rows);
  const along = [...matches.keys()].sort((a, b) => matches[a]!.start - matches[b]!.start);
  const step = (event: KeyboardEvent, index: number): void => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = along[along.indexOf(index) + by];
    if (by === 0 || next === undefined) return;
    event.preventDefault();
    onMatch(next);
    pins.current?.querySelector<HTMLElement>(`[data-pin="${next}"]`)?.focus();
  };
  const ticks = axisTicks(characters, Math.max(2, Math.floor(width / TICK)));
  const similarity = similarityAt(profile, place);

  return (
    <figure class="search-strip">
      <div
        ref={pins}
        class="search-pins"
        role="toolbar"
        aria-label="Matches along the text"
        style={{ height: `${height * PIN}px` }}
      >
        {along.map((index) => {
          const { start, similarity, confidence } = matches[index]!;
          const low = (height - 1 - rows[index]!) * PIN;
          return (
            <button
              key={index}
              type="button"
              class={`search-pin${confidence < FAINT ? " faint" : ""}`}
              data-pin={index}
              aria-pressed={index === match}
              tabIndex={index === (match ?? along[0]) ? 0 : -1}
              aria-label={`Match ${index + 1}: similarity ${decimal(similarity)}, ${confidenceInWords(confidence)}, at character ${start.toLocaleString("en")}`}
              style={{
                left: `${100 * share(start)}%`,
                top: `${low}px`,
                "--stem": `${height * PIN - low - PIN}px`,
              }}
              onClick={() => onMatch(index)}
              onKeyDown={(event) => step(event, index)}
            >
              {index + 1}
            </button>
          );
        })}
      </div>
      <div
        class="search-heat"
        role="slider"
        tabIndex={0}
        aria-label="Place in the text, and similarity there"
        aria-orientation="horizontal"
        aria-valuemin={0}
        aria-valuemax={characters - 1}
        aria-valuenow={place}
        aria-valuetext={`character ${place.toLocaleString("en")} of ${characters.toLocaleString("en")}${Number.isNaN(similarity) ? "" : `, similarity up to ${decimal(similarity)}`}`}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          dragging.value = true;
          at(event);
        }}
        onPointerMove={(event) => dragging.value && at(event)}
        onPointerUp={() => {
          dragging.value = false;
        }}
        onPointerCancel={() => {
          dragging.value = false;
        }}
        onKeyDown={moved}
      >
        <canvas
          ref={canvas}
          {...{
            onContextRestored: () => {
              restored.value++;
            },
          }}
        />
        <span class="search-here" style={{ left: `${100 * share(place)}%` }} />
      </div>
      <div class="search-axis" aria-hidden="true">
        {ticks.map((tick) => (
          <span
            key={tick}
            class={share(tick) * width > width - TICK / 2 ? "last" : tick === 0 ? "first" : ""}
            style={{ left: `${100 * share(tick)}%` }}
          >
            {tick.toLocaleString("en")}
          </span>
        ))}
      </div>
      <figcaption class="search-legend">
        <span>Characters of the text. Colour: the best similarity there.</span>
        <span class="search-scale">
          {range.low.toFixed(2)} or less
          <i
            style={{
              backgroundImage: `linear-gradient(to right, ${LEGEND.map((t) => heatColour(t, dark)).join(", ")})`,
            }}
          />
          1, the same tokens
        </span>
      </figcaption>
    </figure>
  );
}
