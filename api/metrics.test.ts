import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { Metrics } from "./metrics.ts";
import { Telemetry } from "./telemetry.ts";

const promtool = process.env.RESONANT_PROMTOOL ?? "promtool";
const found = await promisify(execFile)(promtool, ["--version"]).then(
  () => true,
  () => false,
);

/** A server's metrics after some requests: every family has a sample. */
function used(): Metrics {
  const one = () => 1;
  const gauges = { running: one, waiting: one, stateBytes: one, gpuBytes: one, ready: () => true };
  const telemetry = new Telemetry(gauges);
  const timer = telemetry.generation();
  timer.admitted();
  timer.token();
  timer.token();
  timer.prompt(5, 3);
  timer.finished("length");
  telemetry.generation().aborted("client");
  telemetry.answered("POST", "/v1/generate", 200, 12);
  telemetry.metrics.gauges("streams", "Streams by where they are", "place", () => [["gpu", 2]]);
  return telemetry.metrics;
}

it.skipIf(!found)("promtool finds nothing wrong with the metrics (install Prometheus)", async () => {
  const checked = promisify(execFile)(promtool, ["check", "metrics"]);
  checked.child.stdin!.end(await used().write("text"));
  expect(await checked).toEqual({ stdout: "", stderr: "" });
});

describe("metrics", () => {
  it("have a help, a type and a name without colons", async () => {
    const text = await used().write("text");
    const helps = [...text.matchAll(/^# HELP (\S+) \S/gm)].map(([, name]) => name);
    const types = [...text.matchAll(/^# TYPE (\S+) (\w+)$/gm)];
    expect(types.map(([, name]) => name)).toEqual(helps);
    for (const [, name, type] of types) {
      expect(name).toMatch(/^(resonant|process|nodejs)_[a-z0-9_]+$/);
      expect([name, type === "counter"]).toEqual([name, name!.endsWith("_total")]);
    }
  });

  it("count an aborted generation apart from those that finished", async () => {
    const text = await used().write("text");
    expect(text).toContain('resonant_requests_finished_total{reason="max_tokens"} 1\n');
    expect(text).toContain('resonant_requests_aborted_total{cause="client"} 1\n');
    expect(text).toContain("resonant_e2e_request_latency_seconds_count 1\n");
  });

  it("in OpenMetrics name families of counters without _total, and end with # EOF; text stays as it was", async () => {
    const metrics = used();
    const before = await metrics.write("text");
    const open = await metrics.write("openmetrics");
    expect(open).toContain("# TYPE resonant_prompt_tokens counter\nresonant_prompt_tokens_total 5\n");
    expect(open).toMatch(/[^\n]\n# EOF\n$/);
    expect(open).not.toContain("\n\n");
    const names = (text: string) => [...text.matchAll(/^# TYPE resonant_(\S+)/gm)].map(([, name]) => name);
    expect(names(await metrics.write("text"))).toEqual(names(before));
  });

  it("no longer show a labelled value that is no longer read", async () => {
    const metrics = new Metrics();
    const places = new Map([
      ["gpu", 1],
      ["host", 2],
    ]);
    metrics.gauges("streams", "Streams by where they are", "place", () => places);
    expect(await metrics.write("text")).toContain('resonant_streams{place="host"} 2\n');
    places.delete("host");
    const text = await metrics.write("text");
    expect(text).toContain('resonant_streams{place="gpu"} 1\n');
    expect(text).not.toContain("host");
  });
});
