/** The library's names of the formats that `export_onnx.py` writes. */
const DTYPES = { f32: "fp32", f16: "fp16", q4: "q4", q4f16: "q4f16" };

/**
 * Opens transformers.js on ONNX Runtime's WebGPU. It keeps past keys and values on the GPU, and copies the last logits to the host.
 * @param {import("./engine.d.ts").Opening} opening
 * @returns {Promise<import("./engine.d.ts").Engine>}
 */
export async function open({ library, wasm, onnx, format }) {
  const { AutoModelForCausalLM, Tensor, env } = await import(library);
  env.allowLocalModels = true;
  env.allowRemoteModels = false;
  env.useBrowserCache = false;
  const at = onnx.lastIndexOf("/", onnx.length - 2) + 1;
  env.localModelPath = onnx.slice(0, at);
  const { onnx: runtime } = env.backends;
  if (wasm) {
    runtime.wasm.wasmPaths = wasm;
    runtime.webgpu.powerPreference = "high-performance";
  }
  const model = await AutoModelForCausalLM.from_pretrained(onnx.slice(at).replace(/\/$/, ""), {
    device: "webgpu",
    dtype: DTYPES[format],
  });
  const device = wasm && (await runtime.webgpu.device);
  return {
    version: `${env.version}, ONNX Runtime ${runtime.versions?.web ?? runtime.versions?.node ?? ""}`,
    adapter: device && {
      vendor: device.adapterInfo.vendor,
      architecture: device.adapterInfo.architecture,
      description: device.adapterInfo.description,
    },
    async run(prompt, tokens) {
      const row = (values) => new Tensor("int64", BigInt64Array.from(values), [1, prompt.length]);
      const times = [];
      const streamer = { put: () => times.push(performance.now()), end() {} };
      const start = performance.now();
      const out = await model.generate({
        inputs: row(prompt.map(BigInt)),
        attention_mask: row(prompt.map(() => 1n)),
        max_new_tokens: tokens,
        do_sample: false,
        eos_token_id: null,
        streamer,
      });
      const [, read, ...steps] = times; // the first call passes the prompt itself
      return {
        tokens: out.tolist()[0].slice(prompt.length).map(Number),
        promptMs: read - start,
        stepMs: (steps.at(-1) - read) / steps.length,
      };
    },
  };
}
