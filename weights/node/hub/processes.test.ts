import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { sendBytes } from "../../../test/hub.ts";
import { fetchFromHub } from "./fetch.ts";
import { bench } from "./testing/bench.ts";

const b = bench();
const NAME = "model.safetensors";
const BYTES = Buffer.alloc(3_000_000, "a model's weights ");
const SENT = 1_000_000;

let scripts = "";
beforeAll(async () => {
  scripts = await mkdtemp(join(tmpdir(), "resonant-hub-worker-"));
  await build({
    entryPoints: [fileURLToPath(new URL("./testing/worker.ts", import.meta.url))],
    outfile: join(scripts, "worker.mjs"),
    bundle: true,
    format: "esm",
    platform: "node",
    target: "es2023",
    logLevel: "warning",
  });
});
afterAll(() => rm(scripts, { recursive: true, force: true }));

function worker(repo: string): ChildProcess {
  return spawn(process.execPath, [join(scripts, "worker.mjs"), repo, NAME], {
    env: { ...b.env, PATH: process.env.PATH },
    stdio: ["ignore", "pipe", "inherit"],
  });
}

async function outputOf(child: ChildProcess): Promise<string> {
  let text = "";
  child.stdout?.on("data", (chunk) => {
    text += chunk;
  });
  const [code] = await once(child, "close");
  expect(code).toBe(0);
  return text;
}

const blobs = (repo: string): string =>
  join(b.env.HF_HOME ?? "", "hub", `models--${repo.replace("/", "--")}`, "blobs");
const partials = async (repo: string): Promise<string[]> =>
  (await readdir(blobs(repo)).catch(() => [])).filter((name) => name.endsWith(".incomplete"));
const ranges = (): (string | undefined)[] =>
  b.hub.requests.filter(({ at }) => at === "cdn").map(({ range }) => range);

/** Sends the first part of the content, and then nothing more, until `go` is called. */
function hangAfterFirstPart(): () => void {
  const waiting: (() => void)[] = [];
  b.hub.intercept = ({ at, range }, response) => {
    if (at !== "cdn" || range) return false;
    response.writeHead(200, { "Content-Length": BYTES.length });
    response.write(BYTES.subarray(0, SENT));
    waiting.push(() => response.end(BYTES.subarray(SENT)));
    return true;
  };
  return () => {
    for (const go of waiting) go();
  };
}

/** Kills a worker when it has written all that was sent. */
async function killInMidDownload(repo: string): Promise<string> {
  b.hub.commit(repo, { [NAME]: BYTES }, { lfs: [NAME] });
  hangAfterFirstPart();
  const child = worker(repo);
  const ended = once(child, "close");
  let size = 0;
  for (let tries = 0; size < SENT && tries < 2000; tries++) {
    const [name] = await partials(repo);
    if (name) size = (await readFile(join(blobs(repo), name))).length;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  child.kill("SIGKILL");
  await ended;
  expect(size).toBe(SENT);
  b.hub.intercept = undefined;
  b.hub.asked();
  return join(blobs(repo), (await partials(repo))[0] ?? "");
}

describe("a process killed in mid-download", () => {
  it("leaves nothing visible, and what it has fetched is not fetched again", async () => {
    await killInMidDownload("me/killed");
    expect(await readdir(dirname(blobs("me/killed")))).toEqual(["blobs"]);
    const folder = await outputOf(worker("me/killed"));
    expect(BYTES.equals(await readFile(join(folder, NAME)))).toBe(true);
    expect(ranges()).toEqual([`bytes=${SENT}-`]);
    expect(await partials("me/killed")).toEqual([]);
  });

  it("is seen to be dead on another machine by the age of its part", async () => {
    const left = await killInMidDownload("me/elsewhere");
    const etag = /([0-9a-f]{64})\./.exec(left)?.[1];
    const path = join(dirname(left), `${etag}.00000000-1-00000000.incomplete`);
    await writeFile(path, await readFile(left));
    await rm(left);
    await utimes(path, new Date(), new Date(Date.now() - 3_600_000));
    await fetchFromHub({ ...b.options, repo: "me/elsewhere", files: [NAME] });
    expect(ranges()).toEqual([`bytes=${SENT}-`]);
  });

  it("had perhaps this process's number", async () => {
    const left = await killInMidDownload("me/again");
    const path = left.replace(/-\d+-(?=[0-9a-f]{8}\.incomplete$)/, `-${process.pid}-`);
    await writeFile(path, await readFile(left));
    await rm(left);
    // Much sooner than by its age.
    const signal = AbortSignal.timeout(20_000);
    await fetchFromHub({ ...b.options, repo: "me/again", files: [NAME], signal });
    expect(ranges()).toEqual([`bytes=${SENT}-`]);
  });
});

describe("several at once", () => {
  it("end with the right file, two processes that start together", async () => {
    b.hub.commit("me/together", { [NAME]: BYTES }, { lfs: [NAME] });
    const folders = await Promise.all([worker("me/together"), worker("me/together")].map(outputOf));
    expect(folders[0]).toBe(folders[1]);
    expect(BYTES.equals(await readFile(join(folders[0] ?? "", NAME)))).toBe(true);
    expect(await partials("me/together")).toEqual([]);
    expect(ranges().length).toBeLessThanOrEqual(2);
  });

  it("fetch once, where one comes while another fetches, and tell how far that is", async () => {
    b.hub.commit("me/waits", { [NAME]: BYTES }, { lfs: [NAME] });
    const go = hangAfterFirstPart();
    const first = outputOf(worker("me/waits"));
    await vi.waitUntil(() => ranges().length === 1, { timeout: 20_000, interval: 2 });
    let told = 0;
    const second = fetchFromHub({
      ...b.options,
      repo: "me/waits",
      files: [NAME],
      onProgress: (_, done) => {
        told = done;
      },
    });
    await vi.waitUntil(() => told === SENT, { timeout: 20_000, interval: 2 });
    go();
    expect(await second).toBe(await first);
    expect(told).toBe(BYTES.length);
    expect(ranges()).toEqual([undefined]);
  });

  it("take over when the one they wait for is killed", async () => {
    b.hub.commit("me/heirs", { [NAME]: BYTES }, { lfs: [NAME] });
    hangAfterFirstPart();
    const child = worker("me/heirs");
    const ended = once(child, "close");
    await vi.waitUntil(() => ranges().length === 1, { timeout: 20_000, interval: 2 });
    let told = 0;
    const heirs = [0, 1].map(() =>
      fetchFromHub({
        ...b.options,
        repo: "me/heirs",
        files: [NAME],
        onProgress: (_, done) => {
          told = Math.max(told, done);
        },
      }),
    );
    await vi.waitUntil(() => told === SENT, { timeout: 20_000, interval: 2 });
    child.kill("SIGKILL");
    await ended;
    const [one, other] = await Promise.all(heirs);
    expect(one).toBe(other);
    expect(BYTES.equals(await readFile(join(one ?? "", NAME)))).toBe(true);
    expect(ranges()).toEqual([undefined, `bytes=${SENT}-`]);
  });

  it("end with the right files within one process", async () => {
    b.hub.commit("me/inside", { [NAME]: BYTES, "config.json": "{}" }, { lfs: [NAME] });
    b.hub.intercept = async (request, response) => {
      if (request.at !== "cdn") return false;
      await new Promise((resolve) => setTimeout(resolve, 50));
      sendBytes(request, response, BYTES);
      return true;
    };
    const calls = Array.from({ length: 4 }, () =>
      fetchFromHub({ ...b.options, repo: "me/inside", files: ["config.json", NAME] }),
    );
    const folders = new Set(await Promise.all(calls));
    expect(folders.size).toBe(1);
    const [folder = ""] = folders;
    expect(BYTES.equals(await readFile(join(folder, NAME)))).toBe(true);
    expect((await readdir(blobs("me/inside"))).length).toBe(2);
  });
});
