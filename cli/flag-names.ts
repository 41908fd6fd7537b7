import type { Command, Option } from "commander";
import type { OptionName } from "../common/errors.ts";

/** Options of the library whose flags have other names. The flags are given as commander's attribute names. */
const otherNames: Readonly<Record<string, readonly string[]>> = {
  adapters: ["checkpoint"],
  context: ["context", "file"],
  placement: ["adapterPlacement"],
  slots: ["slots", "maxBatchSize"],
  stopSequences: ["stop"],
  tokens: ["data"],
};

/**
 * Returns a function that names an option of the library as the command's user knows it: by its flag, or by the environment
 * variable that set it. An option without a flag, such as an argument, keeps its name.
 */
export function flagNames(command: Command): OptionName {
  return (path) => {
    const [option = path] = path.split("["); // `--stop` is one flag for all of its values
    const names = otherNames[option] ?? [option];
    const flags = command.options.filter((flag) => names.includes(flag.attributeName()));
    const sourceOf = (flag: Option) => command.getOptionValueSource(flag.attributeName());
    const flag = flags.find(sourceOf) ?? (flags.length === 1 ? flags[0] : undefined);
    if (!flag) return option;
    return (sourceOf(flag) === "env" ? flag.envVar : flag.long) ?? option;
  };
}
