import "./oscillators.css";
import { useSignal } from "@preact/signals";
import { useId, useLayoutEffect, useMemo } from "preact/hooks";
import type { TraceShape } from "../trace.ts";
import { Coherence } from "./coherence.tsx";
import type { History } from "./history.ts";
import { Lattice } from "./lattice.tsx";
import { Phases } from "./phases.tsx";
import { Stage } from "./stage.ts";

/** How many layers are shown by default. */
const FEW = 6;

/** The oscillators of a model while it reads and writes, drawn from measured states only. */
export function Oscillators({
  shape,
  software,
  history,
  onToken,
}: {
  readonly shape: TraceShape;
  /** Whether the model computes on the CPU. */
  readonly software: boolean;
  /** What was measured; its states have this shape. */
  readonly history: History;
  /** Called when a token is chosen: its text is `length` UTF-16 units at `offset` in the transcript. */
  readonly onToken: (offset: number, length: number) => void;
}) {
  const stage = useMemo(() => new Stage(history, software), [history, software]);
  useLayoutEffect(() => () => stage.close(), [stage]);
  const { layers } = shape;
  const chosen = useSignal<number | undefined>(undefined);
  const shown = useSignal<"few" | "all" | number>(layers > FEW ? "few" : "all");
  const list = useMemo(() => listed(layers, shown.value), [layers, shown.value]);
  const ids = useId();
  const pictured = { stage, layers: list, chosen };
  return (
    <div class="osc">
      {layers > FEW && (
        <div class="osc-tools">
          <label>
            Show{" "}
            <select
              value={shown.value}
              onChange={({ currentTarget: { value } }) => {
                shown.value = value === "few" || value === "all" ? value : Number(value);
              }}
            >
              <option value="few">
                {FEW} of {layers} layers
              </option>
              <option value="all">all {layers} layers</option>
              {Array.from({ length: layers }, (_, layer) => (
                <option key={layer} value={layer}>
                  layer {layer + 1}
                </option>
              ))}
            </select>
          </label>
        </div>
      )}
      <section aria-labelledby={`${ids}-phases`}>
        <h3 id={`${ids}-phases`}>Phases</h3>
        <Phases {...pictured} />
      </section>
      <section aria-labelledby={`${ids}-lattice`}>
        <h3 id={`${ids}-lattice`}>Lattice</h3>
        <Lattice {...pictured} />
      </section>
      <section aria-labelledby={`${ids}-coherence`}>
        <h3 id={`${ids}-coherence`}>Coherence over time</h3>
        <Coherence stage={stage} chosen={chosen} onToken={onToken} />
      </section>
    </div>
  );
}

/** The layers to show: a few spread over the depth, always with the first and the last. */
function listed(layers: number, shown: "few" | "all" | number): number[] {
  if (typeof shown === "number") return [shown];
  const count = shown === "all" ? layers : FEW;
  return Array.from({ length: count }, (_, i) =>
    shown === "all" ? i : Math.round((i * (layers - 1)) / (FEW - 1)),
  );
}
