import type { Gpu } from "../../../engine/device/gpu.ts";
import { describeAdapter, openDevice, requestAdapter } from "../../../engine/platform/node/index.ts";
import { type DeviceFlags, deviceChoice } from "../../options.ts";
import { downloadProgress } from "../../terminal.ts";

/** By default Dawn rounds timestamps to 100 µs. */
const EXACT = "disable-dawn-features=timestamp_quantization";

/** Opens a device with exact timestamps and the tuning of `resonant tune`. Returns it and its adapter's name. */
export async function openTimedGpu(flags: DeviceFlags): Promise<{ gpu: Gpu; name: string }> {
  const download = downloadProgress();
  try {
    const adapter = await requestAdapter({
      ...deviceChoice(flags),
      dawn: [EXACT],
      onProgress: (bytes, total) => download.update(bytes, total),
    });
    const { name } = describeAdapter(adapter);
    return { gpu: await openDevice(adapter), name };
  } finally {
    download.stop();
  }
}
