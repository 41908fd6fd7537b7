import { Command, Option } from "commander";
import { type ServeFlags, withServeOptions } from "../serve-options.ts";
import { superviseLog, superviseReloads } from "../supervise.ts";

interface Flags extends ServeFlags {
  readonly reload?: boolean;
  readonly supervised?: boolean;
}

/** `resonant serve`. */
export function serveCommand(): Command {
  return withServeOptions(new Command("serve").description("Serve a model over HTTP."))
    .option("--reload", "for development: restart when the program's files change")
    .addOption(new Option("--supervised").hideHelp())
    .action(async ({ reload = false, supervised = false, ...settings }: Flags) => {
      if (reload) return superviseReloads();
      if (settings.logFormat === "json" && !supervised) return superviseLog(settings);
      const { serve } = await import("../serve-process.ts");
      return serve(settings, supervised);
    });
}
