import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { settingNames } from "../../api/settings.ts";
import { cli } from "../cli.ts";
import { send } from "./http.ts";

/** A server in a process of its own, as `resonant serve` starts it. */
export class ServerProcess {
  readonly url: string;
  /** What it logged that is more than information. */
  readonly complaints: readonly string[];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string, complaints: readonly string[]) {
    this.#child = child;
    this.url = url;
    this.complaints = complaints;
  }

  /** @throws Error with its last lines where it does not come to serve */
  static async start(flags: readonly string[]): Promise<ServerProcess> {
    const env = { ...process.env };
    for (const name of settingNames) delete env[name];
    const args = [cli, "serve", "--host", "127.0.0.1", "--port", "0", ...flags];
    const child = spawn(process.execPath, args, { env, stdio: ["ignore", "ignore", "pipe"] });
    const complaints: string[] = [];
    let url = "";
    const serving = new Promise<void>((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${complaints}`)));
      createInterface(child.stderr!).on("line", (line) => {
        url ||= /listening on (http:\S+)/.exec(line)?.[1] ?? "";
        if (line.includes(" - serving ")) resolve();
        // Dawn's own remarks about a driver, which pass the log by, are no complaints.
        if (!/ - INFO - |^Warning: max\w+ artificially reduced /.test(line)) complaints.push(line);
      });
    });
    await serving;
    return new ServerProcess(child, url, complaints);
  }

  /** What `/metrics` tells, by its name and labels. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const reply = await send(this.url, { path: "/metrics" });
    const lines = reply!.bytes.toString().matchAll(/^([^#\s].*) (\S+)$/gm);
    return new Map(Array.from(lines, ([, name, value]) => [name!, Number(value)]));
  }

  /** Its exit status after SIGTERM. */
  async stop(): Promise<number | null> {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    const [code] = await ended;
    return code;
  }
}
