import { type Command, Option } from "commander";
import { type Setting, type Settings, serverSettings } from "../api/settings.ts";
import { ResonantError } from "../common/errors.ts";
import { alignmentOption, argument, type ModelFlags, withModel } from "./options.ts";

/** The flags of `resonant serve`: the settings of the server, and the model. */
export interface ServeFlags extends Settings, ModelFlags {}

/** Returns the flag of a setting: `--max-batch-size` for `maxBatchSize`. */
const flagOf = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

function optionOf({ name, variable, unit, about, read, value, choices, secret }: Setting): Option {
  const option = new Option(`${flagOf(name)} ${unit}`, about).env(variable);
  if (choices) option.choices(choices);
  else option.argParser(secret ? silently(read, `${flagOf(name)} or ${variable}`) : argument(read));
  if (value === undefined) return option;
  return option.default(value, Array.isArray(value) ? value.join(",") || "none" : undefined);
}

/** Converts `read` for use with `argParser`. Commander would print the invalid value of a secret setting. */
function silently<T>(read: (text: string) => T, where: string): (text: string) => T {
  return (text) => {
    try {
      return read(text);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new ResonantError("invalid_argument", "its value is not valid", { where, fix: error.message });
    }
  };
}

/** Adds a flag for each setting and the flags of a model. Each can also be set by its environment variable. */
export function withServeOptions(command: Command): Command {
  for (const setting of serverSettings) command.addOption(optionOf(setting));
  return withModel(command).addOption(alignmentOption());
}
