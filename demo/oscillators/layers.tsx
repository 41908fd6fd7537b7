import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Pictured } from "./pictured.ts";

/** One picture per layer, side by side where there is room. */
export function Layers({
  stage,
  layers,
  chosen,
  number,
  picture,
}: Pictured & {
  /** A layer's newest number, shown beside its name. */
  readonly number: (layer: number) => string;
  readonly picture: (layer: number) => ComponentChildren;
}) {
  const list = useRef<HTMLUListElement>(null);
  useLayoutEffect(
    () =>
      stage.onDraw(() => {
        for (const [i, output] of list.current!.querySelectorAll("button > span:last-child").entries()) {
          const text = number(layers[i]!);
          if (output.textContent !== text) output.textContent = text;
        }
      }),
    [stage, layers],
  );
  return (
    <ul class="osc-layers" ref={list} data-many={layers.length > 6}>
      {layers.map((layer) => (
        <li key={layer} data-chosen={chosen.value === layer}>
          {picture(layer)}
          <button
            type="button"
            aria-pressed={chosen.value === layer}
            onClick={() => {
              chosen.value = chosen.value === layer ? undefined : layer;
            }}
          >
            <span>Layer {layer + 1}</span> <span />
          </button>
        </li>
      ))}
    </ul>
  );
}
