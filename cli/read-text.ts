import { readFile } from "node:fs/promises";
import { ResonantError } from "../common/errors.ts";

/** Reads the text file that `flag` names. @throws ResonantError `invalid_argument` if it cannot be read or is not UTF-8 */
export async function readText(path: string, flag = "--data"): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await readFile(path));
  } catch (cause) {
    const why =
      cause instanceof TypeError ? "it is not UTF-8 text" : `it cannot be read (${(cause as Error).message})`;
    throw new ResonantError("invalid_argument", why, { where: `${flag} ${path}`, cause });
  }
}
