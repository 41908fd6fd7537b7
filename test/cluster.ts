import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expanded, oneOf, readManifests } from "./manifests.ts";
import { findProgram, freePort, listening, type Running, start, startServing } from "./processes.ts";

// The deployment of deploy/ as processes on this machine.

const valkey = findProgram("valkey-server", "redis-server");
const nginx = findProgram("nginx");
const lacking = [valkey ? [] : "valkey-server or redis-server", nginx ? [] : "nginx"].flat().join(" and no ");

/** The reason why no cluster can start here, for the names of skipped tests; empty if it can. */
export const lackingPrograms = lacking && ` (skipped: there is no ${lacking})`;

const SECRET = { SESSION_PASSWORD: "0123456789abcdef" };

/** Valkey or Redis with the arguments of deploy/valkey.yaml; its files survive a restart. */
export class Store {
  /** SESSION_STORE of deploy/kubernetes.yaml, at this machine's port. */
  readonly url: string;
  readonly #port: number;
  readonly #args: readonly string[];
  #process: Running | undefined;

  private constructor(port: number, url: string, args: readonly string[]) {
    this.#port = port;
    this.url = url;
    this.#args = args;
  }

  /** Starts a store that keeps its files in `folder`. */
  static async start(folder: string): Promise<Store> {
    const port = await freePort();
    const [container] = oneOf(await readManifests("valkey.yaml"), "StatefulSet").spec.template.spec
      .containers;
    const args = container!.args.slice(1).map((text) => expanded(text, SECRET));
    args[args.indexOf("--port") + 1] = String(port);
    args[args.indexOf("--dir") + 1] = join(folder, "sessions");
    await mkdir(join(folder, "sessions"));

    const [api] = oneOf(await readManifests("kubernetes.yaml"), "Deployment").spec.template.spec.containers;
    const { value } = api!.env.find(({ name }) => name === "SESSION_STORE")!;
    const url = new URL(expanded(value!, SECRET));
    url.hostname = "127.0.0.1";
    url.port = String(port);
    const store = new Store(port, url.href, [...args, "--bind", "127.0.0.1"]);
    await store.start();
    return store;
  }

  async start(): Promise<void> {
    this.#process = start(valkey!, this.#args);
    await listening(this.#port);
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
  }
}

/** A `resonant serve` behind nginx that keeps its port when it is restarted. */
export class Replica {
  #process: Running | undefined;
  readonly port: number;
  readonly #env: Readonly<Record<string, string>>;

  constructor(port: number, env: Readonly<Record<string, string>>) {
    this.port = port;
    this.#env = env;
  }

  get alive(): boolean {
    return this.#process !== undefined;
  }

  async start(): Promise<void> {
    const flags = ["--port", String(this.port), "--max-batch-size", "2", "--trust-proxy", "1"];
    this.#process = await startServing(flags, this.#env);
  }

  /** Whether it is running a request. */
  async works(): Promise<boolean> {
    const metrics = await (await fetch(`http://127.0.0.1:${this.port}/metrics`)).text();
    return /^resonant_num_requests_running 1$/m.test(metrics);
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
    this.#process = undefined;
  }
}

/** deploy/nginx.conf with the changes that a test needs: files, ports, and the rate limit per address. */
async function nginxConfig(folder: string, port: number, servers: readonly number[]): Promise<string> {
  let text = await readFile(new URL("../deploy/nginx.conf", import.meta.url), "utf8");
  const replace = (from: string, to: string): void => {
    if (text.split(from).length !== 2)
      throw new Error(`deploy/nginx.conf does not have exactly one: ${from}`);
    text = text.replace(from, to);
  };
  const server = /^ *server (127\.0\.0\.1:8000) .*;\n/m.exec(text)!;
  replace(server[0], servers.map((one) => server[0].replace(server[1]!, `127.0.0.1:${one}`)).join(""));
  replace("listen 80;", `listen 127.0.0.1:${port};`);
  replace("rate=10r/s", "rate=1000r/s");
  replace("/var/log/nginx/error.log", join(folder, "error.log"));
  replace("/var/log/nginx/access.log", join(folder, "access.log"));
  replace("/run/nginx.pid", join(folder, "nginx.pid"));
  const kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const places = kinds.map((kind) => `  ${kind}_temp_path ${join(folder, kind)};\n`).join("");
  replace("http {\n", `http {\n${places}`);
  return text;
}

/** Starts nginx in front of servers at these ports. @returns its URL; its log is `access.log` in `folder` */
export async function startNginx(folder: string, servers: readonly number[]): Promise<string> {
  const port = await freePort();
  const config = join(folder, "nginx.conf");
  await writeFile(config, await nginxConfig(folder, port, servers));
  // As root, nginx switches to another user by default, who could not read the folder.
  const globals = `daemon off;${process.getuid?.() === 0 ? " user root;" : ""}`;
  start(nginx!, ["-p", folder, "-e", join(folder, "error.log"), "-c", config, "-g", globals]);
  await listening(port);
  return `http://127.0.0.1:${port}`;
}
