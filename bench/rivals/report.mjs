import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** @typedef {{ engine: string, where: string, format: string, version?: string, adapter?: object, runs: import("./engines/engine.d.ts").EngineRun[], error?: string }} EngineRow */

const results = fileURLToPath(new URL("../results", import.meta.url));

/** Number of first tokens that must be the same in f32. */
const SAME = 16;

const sorted = (values) => [...values].sort((a, b) => a - b);
const median = (values) => sorted(values)[Math.floor(values.length / 2)];

/** Returns the figures of a row: the median, minimum and maximum of its rounds. */
export function figures({ runs }, promptTokens) {
  const rates = (name, tokens) => {
    const all = sorted(runs.map((run) => (1000 * tokens) / run[name]));
    return { median: median(all), least: all[0], most: all.at(-1) };
  };
  return {
    promptMs: median(runs.map(({ promptMs }) => promptMs)),
    promptTokensPerSecond: rates("promptMs", promptTokens),
    decodeTokensPerSecond: rates("stepMs", 1),
  };
}

/** Returns how many first tokens a row shares with the reference, and whether these are too few. */
export function agreement({ runs, format }, reference) {
  const tokens = runs.at(-1).tokens;
  const differs = tokens.findIndex((token, i) => token !== reference[i]);
  const same = differs < 0 ? tokens.length : differs;
  return { same, of: tokens.length, disagrees: format === "f32" && same < Math.min(SAME, tokens.length) };
}

/** Returns our speed divided by theirs, for rows with the same place (or theirs outside Node and Chromium) and base format. */
export function ratios(rows) {
  const ran = rows.filter(({ figures }) => figures);
  return ran
    .filter(({ engine }) => engine === "Resonant")
    .flatMap((ours) =>
      ran
        .filter((theirs) => theirs.engine !== "Resonant" && theirs.base === ours.base)
        .filter((theirs) => theirs.where === ours.where || !["Chromium", "Node"].includes(theirs.where))
        .map((theirs) => ({
          ours: `${ours.engine} in ${ours.where}, ${ours.format}`,
          theirs: `${theirs.engine} in ${theirs.where}, ${theirs.format}`,
          adapter: sameAdapter(ours.adapter, theirs.adapter),
          agree: !(ours.agreement.disagrees || theirs.agreement.disagrees),
          decode: ours.figures.decodeTokensPerSecond.median / theirs.figures.decodeTokensPerSecond.median,
          prompt: ours.figures.promptTokensPerSecond.median / theirs.figures.promptTokensPerSecond.median,
        })),
    );
}

/**
 * Returns "same", "another", or "not told" if a library does not report its adapter. The description names the device in
 * Chromium, but the driver in Node, which has a separate name for the device.
 */
export function sameAdapter(ours, theirs) {
  if (!ours || !theirs) return "not told";
  const alike = (key) => ours[key] === theirs[key];
  const same = alike("vendor") && alike("architecture");
  return same && (alike("description") || nameOf(ours) === nameOf(theirs)) ? "same" : "another";
}

/** Returns a readable name of an adapter; in Chromium its `name` is only a number. */
export function nameOf(adapter) {
  if (!adapter) return "not told";
  const { name = "0x", description, architecture } = adapter;
  return (name.startsWith("0x") ? description : name) || architecture || "unknown";
}

/**
 * Writes a report to bench/results/DATE-ADAPTER-WHAT.json, or to `out`, and prints it.
 * @param {{ date: string }} report
 * @param {{ adapter?: object, what: string, out?: string, json?: boolean, table: (report: any) => string }} how
 */
export async function publish(report, { adapter, what, out, json, table }) {
  const slug = nameOf(adapter)
    .toLowerCase()
    .replace(/ *\(.*/, "")
    .replace(/[^a-z0-9]+/g, "-");
  const path = resolve(out ?? join(results, `${report.date}-${slug}-${what}.json`));
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(report, undefined, 2)}\n`);
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : table(report));
}

const number = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** Returns the report as Markdown tables. */
export function tables({ rows, ratios, prompt, tokens, rounds }) {
  const lines = [
    `| engine | format | adapter | prompt of ${prompt}, tokens/s | decode, tokens/s | first token, ms | same tokens |`,
    "| --- | --- | --- | ---: | ---: | ---: | ---: |",
  ];
  for (const { engine, where, format, adapter, error, figures, agreement } of rows) {
    if (error !== undefined) {
      lines.push(`| ${engine} in ${where} | ${format} | did not run: ${error.split("\n")[0]} | | | | |`);
      continue;
    }
    const { promptMs, promptTokensPerSecond: read, decodeTokensPerSecond: decode } = figures;
    const spread = ({ median, least, most }) => `${number(median)} (${number(least)}–${number(most)})`;
    const same = `${agreement.same}/${agreement.of}${agreement.disagrees ? " **disagrees**" : ""}`;
    lines.push(
      `| ${engine} in ${where} | ${format} | ${nameOf(adapter)} | ${spread(read)} | ${spread(decode)} | ${promptMs.toFixed(0)} | ${same} |`,
    );
  }
  lines.push("", `${tokens} tokens; median (minimum–maximum) of ${rounds} rounds, taken in turns.`);
  if (ratios.length > 0) {
    lines.push("", "| ours / theirs | adapter | decode | prompt |", "| --- | --- | ---: | ---: |");
    for (const { ours, theirs, adapter, agree, decode, prompt } of ratios) {
      const note = agree ? adapter : `${adapter}, tokens differ`;
      lines.push(`| ${ours} / ${theirs} | ${note} | ${decode.toFixed(2)} × | ${prompt.toFixed(2)} × |`);
    }
  }
  return `${lines.join("\n")}\n`;
}
