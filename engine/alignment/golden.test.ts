import { describe, expect, it } from "vitest";
import { relativeError } from "../../test/gpu.ts";
import { openGolden } from "../../test/models.ts";
import { Ridge } from "./ridge.ts";

const golden = await openGolden("alignment");

describe("the reference's alignment", () => {
  it.each([
    ["W_l2_1e-3", "Z", "E", 1e-3],
    ["W_l2_10", "Z", "E", 10],
    ["W_under_l2_1e-3", "Z_under", "E_under", 1e-3],
  ])("%s is what a fit of %s to %s gives", async (name, z, e, lambda) => {
    const [, inputs = 0] = golden.tensors.get(z)!.shape;
    const [, outputs = 0] = golden.tensors.get(e)!.shape;
    const ridge = new Ridge(inputs, outputs);
    ridge.add(await golden.float32(z), await golden.float32(e));
    const { weights } = ridge.solve(lambda);
    expect(relativeError(weights, await golden.float32(name))).toBeLessThan(1e-6);
  });
});
