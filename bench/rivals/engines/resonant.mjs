const SETTINGS = {
  measure: false,
  sampling: {
    temperature: 0,
    topK: 0,
    topP: 1,
    repetitionPenalty: 1,
    phaseTemperature: 0,
    seed: 1,
    choice: 0,
  },
};

/**
 * Opens Resonant's library, in a page or in Node.
 * @param {import("./engine.d.ts").Opening} opening
 * @returns {Promise<import("./engine.d.ts").Engine>}
 */
export async function open({ library, model, format, version }) {
  const { loadModel } = await import(library);
  const loaded = await (globalThis.document
    ? loadModel(model, { format, slots: 1 })
    : loadModel({ model, format, slots: 1 }));
  return {
    version,
    adapter: { ...describe(loaded.gpu.device.adapterInfo), name: loaded.gpu.name },
    async run(prompt, tokens) {
      const stream = loaded.open();
      try {
        const start = performance.now();
        const [first] = await loaded.runner.prompt(stream.slot, 0, prompt, SETTINGS).results;
        const read = performance.now();
        stream.position = prompt.length;
        stream.pending = first.token;
        const drawn = [first.token];
        const options = { ...SETTINGS, runAhead: 16, maxTokens: tokens - 1 };
        for await (const { token } of loaded.scheduler.decode(stream, [], options)) drawn.push(token);
        return { tokens: drawn, promptMs: read - start, stepMs: (performance.now() - read) / (tokens - 1) };
      } finally {
        stream.close();
      }
    },
  };
}

const describe = (info) =>
  info && { vendor: info.vendor, architecture: info.architecture, description: info.description };
