import { Worker } from "node:worker_threads";
import type { StartThread } from "../apart/thread.ts";

/** How the program's messages come and go in Node. */
const PRELUDE = `const { parentPort } = require("node:worker_threads");
globalThis.postMessage = (message) => parentPort.postMessage(message);
parentPort.on("message", (data) => globalThis.onmessage({ data }));
`;

/** Starts a worker thread of Node. It gets nothing of the process's environment, and its output is dropped. */
export const startThread: StartThread = (program, heapBytes, { message, gone }) => {
  let ended = false;
  const worker = new Worker(PRELUDE + program, {
    eval: true,
    env: {},
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: heapBytes / 2 ** 20, maxYoungGenerationSizeMb: 16 },
  });
  const lost = (cause: unknown): void => {
    if (ended) return;
    ended = true;
    gone((cause as NodeJS.ErrnoException).code === "ERR_WORKER_OUT_OF_MEMORY" ? "memory" : "failure", cause);
  };
  worker.on("message", message);
  worker.on("messageerror", lost);
  worker.on("error", lost);
  worker.on("exit", (code) => lost(new Error(`it ended with ${code}`)));
  return {
    send: (value) => worker.postMessage(value),
    rest: (resting) => (resting ? worker.unref() : worker.ref()),
    end: () => {
      ended = true;
      void worker.terminate();
    },
  };
};
