import { type Running, startServing } from "../processes.ts";
import { send } from "./http.ts";

/** A separate process of `resonant serve`. */
export class ServerProcess {
  readonly url: string;
  readonly #process: Running;

  private constructor(process: Running, url: string) {
    this.#process = process;
    this.url = url;
  }

  /** @throws Error with its log if it does not start to serve */
  static async start(flags: readonly string[]): Promise<ServerProcess> {
    const server = await startServing(flags);
    return new ServerProcess(server, server.url);
  }

  /** The lines of its log above the level of information. */
  get complaints(): readonly string[] {
    const lines = this.#process.log().replace(/\n$/, "").split("\n");
    // Dawn's messages about a driver bypass the log and do not count.
    return lines.filter((line) => !/ - INFO - |^Warning: max\w+ artificially reduced /.test(line));
  }

  /** The values of `/metrics`, by name and labels. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const reply = await send(this.url, { path: "/metrics" });
    const lines = reply!.bytes.toString().matchAll(/^([^#\s].*) (\S+)$/gm);
    return new Map(Array.from(lines, ([, name, value]) => [name!, Number(value)]));
  }

  /** Stops it with SIGTERM; returns its exit status. */
  stop(): Promise<number | null> {
    return this.#process.stop();
  }
}
