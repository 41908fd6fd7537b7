import { pathToFileURL } from "node:url";

/**
 * Tries to load the model with doppler-gpu, and always throws: doppler-gpu loads only its own format, and its converter
 * supports Gemma, Qwen, LFM2, GPT-OSS and similar models, but not GPT-NeoX.
 * @param {import("./engine.d.ts").Opening} opening
 * @returns {Promise<import("./engine.d.ts").Engine>}
 */
export async function open({ library, model }) {
  const { DOPPLER_VERSION, load } = await import(library);
  const reason = await load({ url: pathToFileURL(model).href }).then(
    () => "it loaded the folder, but running it is not implemented here",
    ({ message }) => message.replaceAll(model, "MODEL"),
  );
  throw new Error(`doppler-gpu ${DOPPLER_VERSION} cannot convert a GPT-NeoX model: ${reason}`);
}
