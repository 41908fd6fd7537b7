import type { Command, Option } from "commander";
import type { OptionName } from "../common/errors.ts";

/** Options of the library whose flags have other names, as commander's attributes. */
const otherNames: Readonly<Record<string, readonly string[]>> = {
  adapters: ["checkpoint"],
  context: ["context", "file"],
  placement: ["adapterPlacement"],
  slots: ["slots", "maxBatchSize"],
  stopSequences: ["stop"],
  tokens: ["data"],
};

/**
 * What a command calls the library's options: its flag, or the environment variable that set it. An option without a flag,
 * such as an argument, keeps its name.
 */
export function flagNames(command: Command): OptionName {
  return (path) => {
    const [option = path] = path.split("["); // `--stop` is one flag, whichever of its values is at fault
    const names = otherNames[option] ?? [option];
    const flags = command.options.filter((flag) => names.includes(flag.attributeName()));
    const sourceOf = (flag: Option) => command.getOptionValueSource(flag.attributeName());
    const flag = flags.find(sourceOf) ?? (flags.length === 1 ? flags[0] : undefined);
    if (!flag) return option;
    return (sourceOf(flag) === "env" ? flag.envVar : flag.long) ?? option;
  };
}
