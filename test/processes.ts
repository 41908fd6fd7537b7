import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { connect, createServer } from "node:net";
import { delimiter, join } from "node:path";
import { afterAll } from "vitest";
import { settingNames } from "../api/settings.ts";
import { cli } from "./cli.ts";

/** A program that a test has started. It is killed after the file's tests if it is still running. */
export interface Running {
  readonly pid: number;
  /** All output so far, of both streams. */
  log(): string;
  /** Waits until `pattern` is in its log. @throws Error with the log if it ends before that, or takes too long */
  says(pattern: RegExp, milliseconds?: number): Promise<RegExpExecArray>;
  /** Sends SIGTERM and waits until it has exited. @returns its exit status */
  stop(): Promise<number | null>;
  /** Kills it and its children with SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
}

const groups = new Set<number>();

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {} // it is gone
}

const killAll = (): void => groups.forEach(killGroup);
afterAll(killAll);
process.once("exit", killAll);

/** Starts a program with this environment without the server's settings, and with `env`. */
export function start(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Running {
  const environment = { ...process.env };
  for (const name of settingNames) delete environment[name];
  // A separate process group, so that its children end with it.
  const child: ChildProcess = spawn(command, args, {
    detached: true,
    env: { ...environment, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const pid = child.pid;
  if (pid === undefined) {
    child.once("error", () => undefined);
    throw new Error(`${command} cannot be started`);
  }
  groups.add(pid);
  let ended = false;
  const end = once(child, "close").then(([code]) => {
    ended = true;
    groups.delete(pid);
    return code as number | null;
  });
  let log = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      log += text;
    });
  }
  return {
    pid,
    log: () => log,
    says: (pattern, milliseconds = 100_000) => {
      const find = (): RegExpExecArray | undefined => {
        const found = pattern.exec(log);
        if (!found && ended) throw new Error("it has ended");
        return found ?? undefined;
      };
      return eventually(`${pattern}`, find, milliseconds).catch((cause: Error) => {
        throw new Error(`${command}: ${cause.message}; it has said: ${log}`, { cause });
      });
    },
    stop: () => {
      child.kill("SIGTERM");
      return end;
    },
    kill: async () => {
      if (!ended) killGroup(pid);
      await end;
    },
  };
}

/** Starts `resonant serve`, at any free port unless the flags name one, and waits until it serves. */
export async function startServing(
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Running & { readonly url: string }> {
  const server = start(process.execPath, [cli, "serve", "--host", "127.0.0.1", "--port", "0", ...flags], env);
  await server.says(/ - serving /);
  const [, url] = await server.says(/listening on (http:\S+)/);
  return { ...server, url: url! };
}

/** Calls `ask` until it returns a value. @throws Error after the time limit; rethrows what `ask` throws */
export async function eventually<T>(
  what: string,
  ask: () => T | undefined | Promise<T | undefined>,
  milliseconds = 60_000,
): Promise<T> {
  const end = Date.now() + milliseconds;
  for (;;) {
    const value = await ask();
    if (value !== undefined) return value;
    if (Date.now() > end) throw new Error(`after ${milliseconds} ms still not: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Returns a port of this machine on which nothing listens now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Waits until a port of this machine accepts connections. */
export async function listening(port: number): Promise<void> {
  await eventually(`port ${port} is listened on`, async () => {
    const socket = connect(port, "127.0.0.1");
    try {
      await once(socket, "connect");
      return true;
    } catch {
      return undefined;
    } finally {
      socket.destroy();
    }
  });
}

/** Returns the path of the first of these programs that exists; undefined if none does. */
export function findProgram(...names: readonly string[]): string | undefined {
  // Debian installs servers in folders that only root's PATH contains.
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin"];
  for (const name of names) {
    for (const folder of folders) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {} // not there
    }
  }
  return undefined;
}
