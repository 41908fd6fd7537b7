import type { StartThread } from "../../../weights/apart/thread.ts";

/** Starts a Web Worker from the program's text, so that the library stays one file. A browser limits no worker's memory. */
export const startThread: StartThread = (program, _heapBytes, { message, gone }) => {
  const url = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
  let worker: Worker | undefined;
  try {
    worker = new Worker(url, { type: "module" }); // Deno has no other kind
    worker.onmessage = ({ data }) => {
      URL.revokeObjectURL(url);
      message(data);
    };
    worker.onerror = (event) => gone("failure", new Error(event.message || "the page does not allow it"));
  } catch (cause) {
    queueMicrotask(() => gone("failure", cause));
  }
  return {
    send: (value) => worker?.postMessage(value),
    rest: () => {},
    end: () => worker?.terminate(),
  };
};
