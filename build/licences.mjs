// The licences of packages whose code is inside our bundles.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Between the parts of a file of licences. */
export const RULE = `\n${"-".repeat(80)}\n\n`;
const LICENCE_FILE = /^(licen[cs]e|copying|notice)/i;

/**
 * The package that a module belongs to, undefined if it is our own.
 * @param {string} path of the module, on disk or in a source map
 * @returns {string | undefined}
 */
export function packageOf(path) {
  return /^.*[\\/]?node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/.exec(path)?.[1]?.replace("\\", "/");
}

/**
 * Name, version and licence of each package, with the text of its licence files where it is installed here.
 * @param {Iterable<string>} names
 * @returns {string}
 */
export function licencesOf(names) {
  return [...new Set(names)].sort().map(licenceOf).join(RULE);
}

/**
 * A text for each of some files, one below the other.
 * @param {readonly string[]} files paths
 * @returns {string}
 */
export function textsOf(files) {
  return files
    .map((file) => `${file.replace("node_modules/", "")}\n\n${readFileSync(file, "utf8").trim()}\n`)
    .join(RULE);
}

/** @param {string} name */
function licenceOf(name) {
  const folder = join("node_modules", name);
  if (!existsSync(join(folder, "package.json"))) return `${name}\n`;
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const texts = readdirSync(folder)
    .filter((file) => LICENCE_FILE.test(file) && !/\.js$/.test(file))
    .map((file) => readFileSync(join(folder, file), "utf8").trim());
  return [`${name} ${version} (${license})\n`, ...texts].join("\n\n").trimEnd().concat("\n");
}
