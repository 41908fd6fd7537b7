import { promisify } from "node:util";

/** Milliseconds for which a wait looks for its end all the time, then those between two looks, the least that a timer waits. */
const EAGER = 0.5;
const PAUSE = 1;

let calm = false;

/**
 * From now on Dawn looks for finished work once a millisecond, but for the first half of one, not all the time: as long as
 * anything is pending its binding asks `setImmediate` again and again, which takes a whole core from a software adapter that
 * computes on them. What others ask of `setImmediate` is done as before.
 */
export function pollCalmly(): void {
  if (calm) return;
  calm = true;
  const { setImmediate: soon } = globalThis;
  let since = Number.NaN; // of a wait that goes on
  let asked = false;
  const poll = (look: () => void): void => {
    const now = performance.now();
    if (Number.isNaN(since)) since = now;
    asked = true;
    const again = (): void => {
      asked = false;
      look(); // and asks again at once, if there is still something to wait for
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

/** Whether a callback is a native addon's, without a name: those of JavaScript and of Node's own have a text or a name. */
const isDawns = (callback: unknown): boolean =>
  typeof callback === "function" &&
  callback.name === "" &&
  callback.length === 0 &&
  Function.prototype.toString.call(callback) === "function () { [native code] }";
