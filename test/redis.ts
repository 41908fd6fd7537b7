import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram, freePort, type Running, start } from "./processes.ts";

const program = findProgram("redis-server", "valkey-server");

/** The reason why there is no Redis, for the names of skipped tests; empty if there is one. */
export const lackingRedis = program ? "" : " (skipped: neither redis-server nor valkey-server is installed)";

/** A Redis for one test, which stores nothing on disk. */
export interface TestRedis {
  readonly url: string;
  readonly port: number;
  /** Kills it at once, as a machine failure does; its data is lost. */
  kill(): Promise<void>;
  /** Starts it again, empty, at the same port. */
  start(): Promise<void>;
  /** Stops it from answering until `thaw`; its connections stay open. */
  freeze(): void;
  thaw(): void;
  /** Stops it and removes its folder. */
  stop(): Promise<void>;
}

/** Starts a real Redis on a free port of this machine. @throws Error if none is installed */
export async function startRedis(flags: readonly string[] = []): Promise<TestRedis> {
  if (!program) throw new Error("neither redis-server nor valkey-server is installed");
  const command = program;
  const folder = await mkdtemp(join(tmpdir(), "resonant-redis-"));
  const port = await freePort();
  const at = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder];
  let running: Running;
  const begin = async (): Promise<void> => {
    running = start(command, [...at, "--save", "", "--appendonly", "no", ...flags]);
    await running.says(/ready to accept connections/i);
  };
  const kill = (): Promise<void> => running.kill();
  await begin();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    kill,
    start: begin,
    freeze: () => process.kill(running.pid, "SIGSTOP"),
    thaw: () => process.kill(running.pid, "SIGCONT"),
    stop: async () => {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
