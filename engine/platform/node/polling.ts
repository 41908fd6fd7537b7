import { promisify } from "node:util";

/** Milliseconds for which a wait polls without a pause; then milliseconds between polls, the shortest delay of a timer. */
const EAGER = 0.5;
const PAUSE = 1;

let calm = false;

/**
 * From now on, Dawn polls for finished work once a millisecond, except during the first half millisecond of a wait. On its
 * own it polls all the time: while anything is pending, its binding calls `setImmediate` again and again, which takes a
 * whole core away from a software adapter that needs it for computing. Other users of `setImmediate` are not affected.
 */
export function pollCalmly(): void {
  if (calm) return;
  calm = true;
  const { setImmediate: soon } = globalThis;
  let since = Number.NaN; // when the current wait began
  let asked = false;
  const poll = (look: () => void): void => {
    const now = performance.now();
    if (Number.isNaN(since)) since = now;
    asked = true;
    const again = (): void => {
      asked = false;
      look(); // calls setImmediate again at once if there is still something to wait for
      if (!asked) since = Number.NaN;
    };
    if (now - since < EAGER) soon(again);
    else setTimeout(again, PAUSE);
  };
  const calmly = (callback: (...args: unknown[]) => void, ...args: unknown[]) =>
    isDawns(callback) ? poll(callback) : soon(callback, ...args);
  globalThis.setImmediate = Object.assign(calmly, {
    [promisify.custom]: promisify(soon),
  }) as unknown as typeof soon;
}

/**
 * Whether a callback is the unnamed function of a native addon. Functions of JavaScript have a text, and those of Node
 * itself have a name.
 */
const isDawns = (callback: unknown): boolean =>
  typeof callback === "function" &&
  callback.name === "" &&
  callback.length === 0 &&
  Function.prototype.toString.call(callback) === "function () { [native code] }";
