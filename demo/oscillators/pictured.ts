import type { Signal } from "@preact/signals";
import type { Stage } from "./stage.ts";

/** What pictures of layers share. */
export interface Pictured {
  readonly stage: Stage;
  /** The layers to show, from 0. */
  readonly layers: readonly number[];
  /** The highlighted layer, if any. */
  readonly chosen: Signal<number | undefined>;
}
