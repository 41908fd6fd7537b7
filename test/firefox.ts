import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import { findProgram, start } from "./processes.ts";

/** Firefox's program: what `RESONANT_FIREFOX` names, else the one on the PATH. */
const firefox = process.env.RESONANT_FIREFOX || findProgram("firefox-esr", "firefox");

/** The reason why tests in Firefox cannot run, for their names; empty if they can. */
export const lackingFirefox = firefox
  ? ""
  : " (skipped: RESONANT_FIREFOX names no Firefox, and there is none on the PATH)";

/**
 * WebGPU, which is not on by default on Linux, on software adapters too, which are on the block list; and no name resolution,
 * so that Firefox's own requests cannot leave. Firefox itself adds what suits a browser that a program controls.
 */
const PREFERENCES = {
  "dom.webgpu.enabled": true,
  "gfx.webgpu.ignore-blocklist": true,
  "network.dns.disabled": true,
};

export interface Firefox {
  /** Opens an address in the browser's one tab, and waits until it is loaded. */
  open(url: string): Promise<void>;
  /** Calls a function in the page, with arguments and a result that JSON can hold. @throws Error if it throws */
  evaluate<A extends readonly unknown[], T>(run: (...given: A) => T | Promise<T>, ...given: A): Promise<T>;
  /** The errors that pages have reported. */
  readonly errors: string[];
  /** Kills the browser and removes its profile. */
  close(): Promise<void>;
}

/** Launches Firefox without a window and with a new profile, and controls it by WebDriver BiDi. */
export async function launchFirefox(): Promise<Firefox> {
  if (!firefox) throw new Error(`there is no Firefox${lackingFirefox}`);
  const profile = await mkdtemp(join(tmpdir(), "resonant-firefox-"));
  const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${value});\n`);
  await writeFile(join(profile, "user.js"), lines.join(""));
  const args = ["--headless", "--profile", profile, "--remote-debugging-port", "0", "about:blank"];
  // As root it refuses a home of somebody else.
  const running = start(firefox, args, { HOME: profile });
  const close = async (): Promise<void> => {
    await running.kill();
    await rm(profile, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const [, address] = await running.says(/WebDriver BiDi listening on (ws:\S+)/);
    const errors: string[] = [];
    const send = await connect(`${address}/session`, (entry) => {
      if (entry.level === "error") errors.push(entry.text ?? "an error without a text");
    });
    await send("session.new", { capabilities: {} });
    await send("session.subscribe", { events: ["log.entryAdded"] });
    const { contexts } = await send<{ contexts: { context: string }[] }>("browsingContext.getTree", {});
    const { context } = contexts[0]!;
    return {
      open: async (url) => {
        await send("browsingContext.navigate", { context, url, wait: "complete" });
      },
      evaluate: async (run, ...given) => {
        const answer = await send<Evaluated>("script.callFunction", {
          functionDeclaration: `async (given) => JSON.stringify(await (${run})(...JSON.parse(given)))`,
          arguments: [{ type: "string", value: JSON.stringify(given) }],
          target: { context },
          awaitPromise: true,
        });
        if (answer.type === "exception") throw new Error(`in Firefox: ${answer.exceptionDetails.text}`);
        return answer.result.value === undefined ? undefined : JSON.parse(answer.result.value);
      },
      errors,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

type Evaluated =
  | { readonly type: "success"; readonly result: { readonly value?: string } }
  | { readonly type: "exception"; readonly exceptionDetails: { readonly text: string } };

/** An entry of the console, or an error that a page has not caught. */
interface Entry {
  readonly level: string;
  readonly text: string | null;
}

/** What Firefox sends: the answer to a command, or an event. */
type Message =
  | { readonly type: "success"; readonly id: number; readonly result: unknown }
  | { readonly type: "error"; readonly id: number | null; readonly error: string; readonly message: string }
  | { readonly type: "event"; readonly method: string; readonly params: Entry };

interface Asked {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

type Send = <T = unknown>(method: string, params: Readonly<Record<string, unknown>>) => Promise<T>;

/** Connects to a browser by WebDriver BiDi. @returns sends a command and waits for its result */
async function connect(url: string, onEntry: (entry: Entry) => void): Promise<Send> {
  const socket = new WebSocket(url);
  const waiting = new Map<number, Asked>();
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  socket.on("close", () => {
    for (const { reject } of waiting.values()) reject(new Error("Firefox has ended the connection"));
  });
  socket.on("message", (data) => {
    const message: Message = JSON.parse(String(data));
    if (message.type === "event") return message.method === "log.entryAdded" && onEntry(message.params);
    const asked = message.id === null ? undefined : waiting.get(message.id);
    if (message.id !== null) waiting.delete(message.id);
    if (message.type === "success") asked?.resolve(message.result);
    else asked?.reject(new Error(`Firefox: ${message.error}: ${message.message}`));
  });
  let id = 0;
  return <T>(method: string, params: Readonly<Record<string, unknown>>) =>
    new Promise<T>((resolve, reject) => {
      waiting.set(++id, { resolve: (result) => resolve(result as T), reject });
      socket.send(JSON.stringify({ id, method, params }));
    });
}
