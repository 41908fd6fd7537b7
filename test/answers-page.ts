import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { type FileServer, serveFiles } from "../engine/platform/browser/testing/file-server.ts";
import { defaultModelFolder } from "../engine/platform/node/files.ts";
import type { Answers } from "./answers.ts";
import { fixturePath } from "./models.ts";

declare global {
  var library: typeof import("../engine/platform/browser/index.ts");
  var answers: typeof import("./answers.ts");
}

/** Serves the default model and `/index.html`, a page with the library's browser build, in which `answersInPage` can be called. */
export async function serveAnswersPage(): Promise<FileServer> {
  const server = await serveFiles();
  const shipped = await defaultModelFolder();
  for (const name of await readdir(shipped))
    server.files.set(`/model/${name}`, await readFile(join(shipped, name)));
  const bundle = await build({
    stdin: {
      contents: `import * as library from "./dist/browser.js"; import * as answers from "./test/answers.ts";
        Object.assign(globalThis, { library, answers });`,
      resolveDir: fixturePath("../.."),
    },
    bundle: true,
    format: "esm",
    platform: "browser",
    write: false,
  });
  server.files.set("/library.js", Buffer.from(bundle.outputFiles[0]!.contents));
  const page = `<!doctype html><script type="module" src="/library.js"></script>`;
  server.files.set("/index.html", Buffer.from(page));
  return server;
}

/** In the page: asks the default model in f16. */
export async function answersInPage(): Promise<Answers> {
  const model = await library.loadModel("/model", { format: "f16", slots: 4 });
  const given = await answers.answersOf(library, model);
  model.gpu.destroy();
  return given;
}
