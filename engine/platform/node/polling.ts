import { promisify } from "node:util";

/** Milliseconds between two looks for finished work, the least that a timer waits. */
const PAUSE = 1;

let calm = false;

/**
 * From now on Dawn looks for finished work once a millisecond, not all the time: as long as anything is pending its
 * binding asks `setImmediate` again and again, which takes a whole core from a software adapter that computes on them.
 * What others ask of `setImmediate` is done as before.
 */
export function pollCalmly(): void {
  if (calm) return;
  calm = true;
  const { setImmediate: soon } = globalThis;
  const calmly = (callback: (...args: unknown[]) => void, ...args: unknown[]) =>
    isDawns(callback) ? setTimeout(callback, PAUSE) : soon(callback, ...args);
  globalThis.setImmediate = Object.assign(calmly, {
    [promisify.custom]: promisify(soon),
  }) as unknown as typeof soon;
}

/** Whether a callback is a native addon's, without a name: those of JavaScript and of Node's own have a text or a name. */
const isDawns = (callback: unknown): boolean =>
  typeof callback === "function" &&
  callback.name === "" &&
  callback.length === 0 &&
  Function.prototype.toString.call(callback) === "function () { [native code] }";
