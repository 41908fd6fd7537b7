import { testGpu } from "../../../test/gpu.ts";
import { fixturePath } from "../../../test/models.ts";
import { type LoadOptions, Model } from "../../model.ts";
import { openModelFolder } from "../../platform/node/files.ts";

/** Three adapters with a vector memory, or none, on a small base model of 400 positions. */
export async function loadBase(options: LoadOptions, adapters = true): Promise<Model> {
  const files = await openModelFolder(
    fixturePath("base-models/neox-parallel"),
    adapters ? fixturePath("checkpoints/adapters_d32_zip.pt") : undefined,
  );
  try {
    const gpu = await testGpu();
    return await Model.load(gpu, { ...files, name: "base" }, { slots: 2, promptRows: 128, ...options });
  } finally {
    await files.close();
  }
}
