import { useLayoutEffect, useRef } from "preact/hooks";
import type { Picture, Stage } from "./stage.ts";

/** A canvas on the stage. `of` is read once, so a new value needs a new key. */
export function Canvas({
  stage,
  of,
  ratio,
}: {
  readonly stage: Stage;
  readonly of: (canvas: HTMLCanvasElement) => Omit<Picture, "canvas">;
  /** Width divided by height; undefined leaves it to the style sheet. */
  readonly ratio?: number;
}) {
  const ref = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const canvas = ref.current!;
    return stage.add({ canvas, ...of(canvas) });
  }, [stage]);
  return <canvas ref={ref} role="img" style={ratio === undefined ? {} : { aspectRatio: `${ratio}` }} />;
}
