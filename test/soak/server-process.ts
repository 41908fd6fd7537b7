import { type Running, startServing } from "../processes.ts";
import { send } from "./http.ts";

/** A server in a process of its own, as `resonant serve` starts it. */
export class ServerProcess {
  readonly url: string;
  readonly #process: Running;

  private constructor(process: Running, url: string) {
    this.#process = process;
    this.url = url;
  }

  /** @throws Error with its log where it does not come to serve */
  static async start(flags: readonly string[]): Promise<ServerProcess> {
    const server = await startServing(flags);
    return new ServerProcess(server, server.url);
  }

  /** What it logged that is more than information. */
  get complaints(): readonly string[] {
    const lines = this.#process.log().replace(/\n$/, "").split("\n");
    // Dawn's own remarks about a driver, which pass the log by, are no complaints.
    return lines.filter((line) => !/ - INFO - |^Warning: max\w+ artificially reduced /.test(line));
  }

  /** What `/metrics` tells, by its name and labels. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const reply = await send(this.url, { path: "/metrics" });
    const lines = reply!.bytes.toString().matchAll(/^([^#\s].*) (\S+)$/gm);
    return new Map(Array.from(lines, ([, name, value]) => [name!, Number(value)]));
  }

  /** Its exit status after SIGTERM. */
  stop(): Promise<number | null> {
    return this.#process.stop();
  }
}
