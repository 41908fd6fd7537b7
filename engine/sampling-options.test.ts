import { describe, expect, it } from "vitest";
import { ResonantError } from "../common/errors.ts";
import { encodeSampling } from "../kernels/sample/sample.ts";
import { checkSamplingOptions, samplingDefaults, samplingOptions } from "./sampling-options.ts";

describe("the options of a generation", () => {
  it.each(Object.entries(samplingOptions))(
    "%s has its ends and its default in its range",
    (option, range) => {
      const { least, most, whole, default: value } = range;
      for (const good of [least, most, ...(value === undefined ? [] : [value])]) {
        expect(() => checkSamplingOptions({ [option]: good })).not.toThrow();
      }
      for (const bad of [least - 1, most * 2 + 1, Number.NaN, ...(whole ? [least + 0.5] : [])]) {
        expect(() => checkSamplingOptions({ [option]: bad })).toThrow(
          new ResonantError(
            "invalid_argument",
            `${bad} is not ${whole ? "a whole number " : ""}from ${least} to ${most}`,
            {
              option,
            },
          ),
        );
      }
    },
  );

  it("at their ends reach the kernel as they are", () => {
    const most = { seed: samplingOptions.seed.most, choice: samplingOptions.choice.most };
    const topK = samplingOptions.topK.most;
    const view = new DataView(encodeSampling({ ...samplingDefaults, ...most, topK }));
    expect([view.getUint32(16, true), view.getUint32(20, true)]).toEqual([topK, most.choice]);
    expect(view.getUint32(28, true) * 2 ** 32 + view.getUint32(24, true)).toBe(most.seed);
  });
});
