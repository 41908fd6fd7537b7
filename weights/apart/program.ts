/** The program of a thread, as text: bundlers put it in, with everything it imports (`build/program-text.mjs`). */
export { default } from "./worker.ts?program";
