import { type Signal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { KEPT, type Measure } from "./history.ts";
import { Movers } from "./movers.tsx";
import { drawPlot, Frame, type PlotView } from "./plot.ts";
import type { Stage } from "./stage.ts";
import { describe, tell } from "./telling.ts";

/** How many of the tokens that changed R most are marked and listed. */
const MOVERS = 8;
const SPANS = [64, 256, 1024, KEPT];

/** R and the lattice's coherence after each token, and the tokens that changed R most. */
export function Coherence({
  stage,
  chosen,
  onToken,
}: {
  readonly stage: Stage;
  readonly chosen: Signal<number | undefined>;
  readonly onToken: (offset: number, length: number) => void;
}) {
  const { history, glide } = stage;
  const { layers } = history.shape;
  const measures: Measure[] = [...(glide.vector ? [0 as const] : []), ...(glide.cells ? [1 as const] : [])];
  const canvas = useRef<HTMLCanvasElement>(null);
  const range = useRef<HTMLInputElement>(null);
  const span = useSignal(256);
  const hovered = useSignal<number | undefined>(undefined);
  const held = useSignal<number | undefined>(undefined);
  const cursor = useComputed(() => hovered.value ?? held.value);
  const pressed = useRef(false);
  const telling = useSignal("");
  const movers = useSignal<readonly number[]>([]);
  const frame = useRef<Frame>(undefined);
  const ids = useId();

  const update = (): void => {
    const { first, end } = history;
    movers.value = measures[0] === 0 ? history.topMovers(MOVERS, Math.max(first, end - span.value)) : [];
  };

  useLayoutEffect(() => {
    if (!canvas.current) return;
    const view = (): PlotView => {
      const { first, end } = history;
      const to = Math.max(end, first + Math.min(span.value, 64));
      for (const at of [hovered, held]) {
        if (at.value !== undefined && (at.value < first || at.value >= end)) at.value = undefined;
      }
      const from = Math.max(first, Math.min(to - span.value, cursor.value ?? to));
      return {
        history,
        from,
        to: Math.min(to, from + span.value),
        layer: chosen.value,
        cursor: cursor.value,
        movers: movers.value,
      };
    };
    /** Screen readers speak a focused slider at every change, so it must not follow the newest token. */
    const steer = (): void => {
      const slider = range.current;
      if (!slider || (cursor.value === undefined && document.activeElement === slider)) return;
      slider.min = `${history.first}`;
      slider.max = `${Math.max(history.first, history.end - 1)}`;
      slider.value = `${cursor.value ?? history.end - 1}`;
      slider.ariaValueText = telling.value;
    };
    const forget = (): void => {
      for (const at of [hovered, held]) at.value = undefined;
      update();
    };
    const removals = [
      forget,
      history.subscribe(() => {
        if (history.end === 0) forget();
      }),
      stage.add({
        canvas: canvas.current,
        glides: false,
        paint(context, width, height, theme) {
          const shown = view();
          frame.current = new Frame(shown, width, height, measures);
          drawPlot(context, frame.current, shown, theme);
          telling.value = tell(history, measures, cursor.value, chosen.value);
          steer();
        },
        describe: () => describe(history, measures),
      }),
      stage.slowly(update),
    ];
    update();
    return () => {
      for (const remove of removals) remove();
    };
  }, [stage]);

  useSignalEffect(() => {
    void [cursor.value, chosen.value, movers.value, span.value];
    if (canvas.current) stage.redraw(canvas.current);
  });

  if (measures.length === 0) {
    return <p class="osc-none">This model has neither memory, so there is no coherence to show.</p>;
  }

  const choose = (token: number | undefined): void => {
    if (token === undefined || token < history.first) return;
    held.value = token;
    onToken(history.offset(token), history.text(token).length);
  };
  const point = ({ clientX, clientY }: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    return { token: frame.current?.tokenAt(clientX - box.left), y: clientY - box.top };
  };

  return (
    <>
      <p class="osc-explain">
        How much the oscillators are in step after each token: near 0 they point anywhere, at 1 all point the
        same way. A jump is a token that moved the memory.
      </p>
      <div class="osc-tools">
        <label>
          Tokens{" "}
          <select
            value={span.value}
            onChange={({ currentTarget }) => {
              span.value = Number(currentTarget.value);
              update();
            }}
          >
            {SPANS.map((tokens) => (
              <option key={tokens} value={tokens}>
                last {tokens}
              </option>
            ))}
          </select>
        </label>
        {layers > 1 && (
          <label>
            Layer{" "}
            <select
              value={chosen.value ?? ""}
              onChange={({ currentTarget: { value } }) => {
                chosen.value = value === "" ? undefined : Number(value);
              }}
            >
              <option value="">mean of all</option>
              {Array.from({ length: layers }, (_, layer) => (
                <option key={layer} value={layer}>
                  {layer + 1}
                </option>
              ))}
            </select>
          </label>
        )}
        <span class="osc-key">
          <i class="osc-line" /> mean
        </span>
        {layers > 1 && (
          <span class="osc-key">
            <i class="osc-thin" /> each layer
          </span>
        )}
        {chosen.value !== undefined && (
          <span class="osc-key">
            <i class="osc-dashed" /> layer {chosen.value + 1}
          </span>
        )}
      </div>
      <div class="osc-plot">
        <canvas ref={canvas} role="img" />
        <input
          ref={range}
          type="range"
          step={1}
          aria-label="Token in the plot"
          aria-describedby={`${ids}-keys`}
          onInput={({ currentTarget }) => {
            if (pressed.current) return; // a pointer on the plot chooses the token; the slider must not
            held.value = Number(currentTarget.value);
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter") choose(held.value);
            if (event.key === "Escape") held.value = undefined;
          }}
          onPointerDown={(event) => {
            pressed.current = true;
            hovered.value = point(event).token;
          }}
          onPointerMove={(event) => {
            hovered.value = point(event).token;
          }}
          onPointerUp={(event) => {
            pressed.current = false;
            const { token, y } = point(event);
            if (token === undefined) return;
            const line = layers > 1 ? frame.current?.lineAt(token, y) : undefined;
            if (line !== undefined) chosen.value = line === "mean" ? undefined : line;
            choose(token);
          }}
          onPointerCancel={() => {
            pressed.current = false;
          }}
          onPointerLeave={() => {
            hovered.value = undefined;
          }}
        />
      </div>
      <p class="osc-telling">{telling}</p>
      <p class="osc-hint" id={`${ids}-keys`}>
        Arrow keys go from token to token, Enter marks it in the text, Escape goes back to the newest.
      </p>
      {movers.value.length > 0 && (
        <Movers history={history} tokens={movers.value} held={held} choose={choose} />
      )}
    </>
  );
}
