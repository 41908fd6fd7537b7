import { type Command, Command as Subcommand } from "commander";
import { listAdapters } from "../../engine/platform/node/device.ts";
import { jsonOption } from "../options.ts";
import { downloadProgress, print, printJson, table } from "../terminal.ts";

/** `resonant adapters`. */
export function adaptersCommand(): Command {
  return new Subcommand("adapters")
    .description("List the WebGPU adapters of this machine, the one that would be used first.")
    .addOption(jsonOption())
    .action(async ({ json }: { json?: boolean }) => {
      const download = downloadProgress();
      const adapters = await listAdapters({
        onProgress: (bytes, total) => download.update(bytes, total),
      }).finally(() => download.stop());
      if (json) return printJson(adapters);
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
      } of adapters) {
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
