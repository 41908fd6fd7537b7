// `import text from "./worker.ts?program"`: a module and all that it imports, also packages, as the text of one script.

const SUFFIX = /\?program$/;

/**
 * The text of a program.
 * @param {typeof import("esbuild").build} build
 * @param {string} path of the module
 */
export async function programText(build, path) {
  const { outputFiles, metafile } = await build({
    entryPoints: [path],
    bundle: true,
    format: "iife",
    target: "es2023",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["import"],
    minify: true,
    legalComments: "none",
    write: false,
    metafile: true,
    logLevel: "warning",
  });
  return { text: outputFiles[0].text, inputs: Object.keys(metafile.inputs) };
}

/**
 * For esbuild.
 * @param {typeof import("esbuild").build} build
 * @param {(modules: readonly string[]) => void} seen is told the modules inside, whose licences belong beside the bundle
 * @returns {import("esbuild").Plugin}
 */
export const programs = (build, seen = (_modules) => {}) => ({
  name: "program-as-text",
  setup({ onResolve, onLoad, resolve }) {
    onResolve({ filter: SUFFIX }, async ({ path, resolveDir, kind }) => {
      const { path: found } = await resolve(path.replace(SUFFIX, ""), { resolveDir, kind });
      return { path: found, suffix: "?program" };
    });
    onLoad({ filter: /\.ts$/ }, async ({ path, suffix }) => {
      if (!SUFFIX.test(suffix)) return undefined;
      const { text, inputs } = await programText(build, path);
      seen(inputs);
      return { contents: text, loader: "text", watchFiles: inputs };
    });
  },
});

/**
 * For Vite and Vitest.
 * @param {typeof import("esbuild").build} build
 * @param {(modules: readonly string[]) => void} seen as for esbuild
 * @returns {import("vite").Plugin}
 */
export const vitePrograms = (build, seen = (_modules) => {}) => ({
  name: "program-as-text",
  enforce: "pre",
  async load(id) {
    if (!SUFFIX.test(id)) return null;
    const { text, inputs } = await programText(build, id.replace(SUFFIX, ""));
    seen(inputs);
    return `export default ${JSON.stringify(text)};`;
  },
});
