import { execFile, spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { fetchModel } from "./model.ts";
import { bench } from "./testing/bench.ts";

const given = process.env.RESONANT_PYTHON ?? "";
const python = given.includes("/") ? resolve(given) : given;
const lacking = python === "" || spawnSync(python, ["-c", "import huggingface_hub"]).status !== 0;
if (lacking) console.warn("the cache is not tried with Python: RESONANT_PYTHON has no huggingface_hub");

const b = bench();
const FILES = { "config.json": "{}", "tokenizer.json": "{}", "model.safetensors": "weights" };

/** The result, as JSON, of a line of Python that has huggingface_hub as `h`. */
async function inPython(line: string, more: NodeJS.ProcessEnv = {}): Promise<unknown> {
  const script = `import huggingface_hub as h, json\nprint(json.dumps(${line}))`;
  const env = { ...b.env, PATH: process.env.PATH, NO_PROXY: "*", HF_HUB_DISABLE_PROGRESS_BARS: "1", ...more };
  return JSON.parse((await promisify(execFile)(python, ["-c", script], { env })).stdout);
}

describe.skipIf(lacking)("the cache, shared with huggingface_hub in Python", () => {
  it("gives Python what was fetched here, offline, and nothing that Python warns of", async () => {
    const commit = b.hub.commit("me/ours", FILES, { lfs: ["model.safetensors"] });
    const folder = await fetchModel({ ...b.options, repo: "me/ours" });
    b.hub.asked();
    expect(
      await inPython(`[h.hf_hub_download("me/ours", f) for f in ${JSON.stringify(Object.keys(FILES))}]`, {
        HF_HUB_OFFLINE: "1",
      }),
    ).toEqual(Object.keys(FILES).map((name) => `${folder}/${name}`));
    expect(
      await inPython(
        `(lambda c: [[str(w) for w in c.warnings], [[r.repo_id, v.commit_hash, sorted(v.refs), len(v.files)]
          for r in c.repos for v in r.revisions]])(h.scan_cache_dir())`,
      ),
    ).toEqual([[], [["me/ours", commit, ["main"], 3]]]);
    // Both also know that a file is not in the repository.
    expect(
      await inPython(`h.try_to_load_from_cache("me/ours", "chat_template.jinja") is h._CACHED_NO_EXIST`),
    ).toBe(true);
    expect(b.hub.asked()).toEqual([]);
  });

  it("finds here what Python has fetched, offline", async () => {
    b.hub.commit("me/theirs", FILES, { lfs: ["model.safetensors"] });
    const paths = await inPython(
      `[h.hf_hub_download("me/theirs", f) for f in ${JSON.stringify(Object.keys(FILES))}]`,
    );
    b.hub.asked();
    const env = { ...b.env, HF_HUB_OFFLINE: "1" };
    const folder = await fetchModel({ ...b.options, env, repo: "me/theirs" });
    expect(paths).toEqual(Object.keys(FILES).map((name) => `${folder}/${name}`));
    expect(b.hub.asked()).toEqual([]);
  });
});
