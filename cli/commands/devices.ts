import { type Command, Command as Subcommand } from "commander";
import { listAdapters } from "../../engine/platform/node/device.ts";
import { jsonOption } from "../options.ts";
import { downloadProgress, print, printJson, table } from "../terminal.ts";

/** `resonant devices`. */
export function devicesCommand(): Command {
  return new Subcommand("devices")
    .alias("adapters") // the command's older name; "adapters" now means the adapters in a checkpoint
    .description("List the WebGPU devices (adapters) of this machine. The first one is the default.")
    .addOption(jsonOption())
    .action(async ({ json }: { json?: boolean }) => {
      const download = downloadProgress();
      const devices = await listAdapters({
        onProgress: (bytes, total) => download.update(bytes, total),
      }).finally(() => download.stop());
      if (json) return printJson(devices);
      for (const {
        name,
        kind,
        vendor,
        architecture,
        driver,
        backend,
        subgroups,
        limits,
        features,
      } of devices) {
        await print(`${name}\n`);
        await print(
          table(
            [
              ["  kind", kind],
              ["  vendor", [vendor, architecture].filter(Boolean).join(", ")],
              ["  driver", driver],
              ["  backend", backend ?? "unknown"],
              ["  subgroups", `${subgroups.min} to ${subgroups.max}`],
              ...Object.entries(limits).map(([limit, value]) => [`  ${limit}`, String(value)]),
            ].map(([label, value]) => [`${label?.padEnd(36)}${value}`]),
          ),
        );
        await print(`  features                            ${features.join(" ")}\n`);
      }
    });
}
