import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The program on the PATH, or undefined. */
const program = ["redis-server", "valkey-server"].find((name) => spawnSync(name, ["--version"]).status === 0);

/** Why there is no Redis to test with, or an empty string: for the names of tests that are skipped then. */
export const lackingRedis = program ? "" : " (skipped: neither redis-server nor valkey-server is installed)";

/** A Redis of a test's own, which keeps nothing on disk. */
export interface TestRedis {
  readonly url: string;
  readonly port: number;
  /** Ends it at once, as a machine that fails does; what it held is lost. */
  kill(): Promise<void>;
  /** Starts it again, empty, at the same port. */
  start(): Promise<void>;
  /** Stops it from answering, its connections open, until `thaw`. */
  freeze(): void;
  thaw(): void;
  /** Ends it, and removes its folder. */
  stop(): Promise<void>;
}

/** Starts a real Redis on a free port of this machine, with flags of its own. @throws Error where none is installed */
export async function startRedis(flags: readonly string[] = []): Promise<TestRedis> {
  if (!program) throw new Error("neither redis-server nor valkey-server is installed");
  const command = program;
  const folder = await mkdtemp(join(tmpdir(), "resonant-redis-"));
  const port = await freePort();
  let child: ChildProcess | undefined;

  const start = async (): Promise<void> => {
    const at = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder];
    const started = spawn(command, [...at, "--save", "", "--appendonly", "no", ...flags], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    child = started;
    let said = "";
    for await (const chunk of started.stdout.iterator({ destroyOnReturn: false })) {
      said += String(chunk);
      if (/ready to accept connections/i.test(said)) break;
    }
    started.stdout.resume();
    if (!/ready to accept connections/i.test(said)) throw new Error(`${command} did not start: ${said}`);
  };
  const kill = async (): Promise<void> => {
    if (child && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "close");
      child.kill("SIGKILL");
      await ended;
    }
    child = undefined;
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    kill,
    start,
    freeze: () => child?.kill("SIGSTOP"),
    thaw: () => child?.kill("SIGCONT"),
    stop: async () => {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
