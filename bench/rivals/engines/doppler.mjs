import { pathToFileURL } from "node:url";

/**
 * doppler-gpu loads folders of its own format; its converter makes them of Gemma, Qwen, LFM2, GPT-OSS and the like.
 * @param {import("./engine.d.ts").Opening} opening
 * @returns {Promise<import("./engine.d.ts").Engine>}
 */
export async function open({ library, model }) {
  const { DOPPLER_VERSION, load } = await import(library);
  const reason = await load({ url: pathToFileURL(model).href }).then(
    () => "it loaded the folder, but how it would be run is not written yet",
    ({ message }) => message.replaceAll(model, "MODEL"),
  );
  throw new Error(`doppler-gpu ${DOPPLER_VERSION} has no GPT-NeoX to convert such a folder by: ${reason}`);
}
