import type { Gpu } from "../../../engine/device/gpu.ts";
import { describeAdapter, openDevice, requestAdapter } from "../../../engine/platform/node/index.ts";
import { type DeviceFlags, deviceChoice } from "../../options.ts";
import { downloadProgress } from "../../terminal.ts";

/** By default Dawn rounds timestamps to 100 µs. */
const EXACT = "disable-dawn-features=timestamp_quantization";

/** Finds an adapter without loading a model, whose timestamps are exact. */
export async function findTimedAdapter(flags: DeviceFlags): Promise<GPUAdapter> {
  const download = downloadProgress();
  try {
    return await requestAdapter({
      ...deviceChoice(flags),
      dawn: [EXACT],
      onProgress: (bytes, total) => download.update(bytes, total),
    });
  } finally {
    download.stop();
  }
}

/** Opens a device with exact timestamps and the tuning of `resonant tune`. Returns it and its adapter's name. */
export async function openTimedGpu(flags: DeviceFlags): Promise<{ gpu: Gpu; name: string }> {
  const adapter = await findTimedAdapter(flags);
  const { name } = describeAdapter(adapter);
  return { gpu: await openDevice(adapter), name };
}
