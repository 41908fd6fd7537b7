import { type Command, Option } from "commander";
import { type Setting, type Settings, serverSettings } from "../api/settings.ts";
import { alignmentOption, argument, type ModelFlags, withModel } from "./options.ts";

/** The flags of `resonant serve`: the settings of the server, and the model. */
export interface ServeFlags extends Settings, ModelFlags {}

/** Returns the flag of a setting: `--max-batch-size` for `maxBatchSize`. */
const flagOf = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

function optionOf({ name, variable, unit, about, read, value, choices }: Setting): Option {
  const option = new Option(`${flagOf(name)} ${unit}`, about).env(variable);
  if (choices) option.choices(choices);
  else option.argParser(argument(read));
  if (value === undefined) return option;
  return option.default(value, Array.isArray(value) ? value.join(",") || "none needed" : undefined);
}

/** Adds a flag for each setting and the flags of a model. Each can also be set by its environment variable. */
export function withServeOptions(command: Command): Command {
  for (const setting of serverSettings) command.addOption(optionOf(setting));
  return withModel(command).addOption(alignmentOption());
}
