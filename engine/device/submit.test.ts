import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const engine = fileURLToPath(new URL("..", import.meta.url));

it("the engine records and submits commands through the device's `submit` alone", () => {
  const submitting = readdirSync(engine, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .filter((name) => /createCommandEncoder|queue\.submit/.test(readFileSync(join(engine, name), "utf8")));
  expect(submitting.map((name) => name.replaceAll("\\", "/"))).toEqual(["device/gpu.ts"]);
});
