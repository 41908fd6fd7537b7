import { describe, expect, it } from "vitest";
import { ResonantError } from "../common/errors.ts";
import { tinyConfig } from "../test/models.ts";
import { parseConfig } from "./config.ts";

/** The error that `config` is refused with. */
function refused(config: unknown): ResonantError {
  try {
    parseConfig(config, "a/config.json");
  } catch (error) {
    if (error instanceof ResonantError) return error;
    throw error;
  }
  throw new Error(`accepted: ${JSON.stringify(config)}`);
}

describe("config.json", () => {
  it("is read into the block's shape and the model's constants", () => {
    const config = parseConfig({ ...tinyConfig, plm: { grid: [2, 4] }, eos_token_id: 7 }, "config.json");
    expect(config).toEqual({
      shape: {
        size: 64,
        taps: 2,
        pvm: true,
        lattice: { grid: [2, 4], components: 4 },
        gated: true,
        inner: 4,
      },
      layers: 1,
      vocabulary: 260,
      phase: tinyConfig.phase,
      pvm: tinyConfig.pvm,
      bosId: null,
      eosId: 7,
    });
  });

  it("may hold fields that this engine does not know, and leave out the tokens that begin and end a text", () => {
    const { bos_token_id, eos_token_id, ...rest } = tinyConfig;
    expect([bos_token_id, eos_token_id]).toEqual([null, null]);
    expect(parseConfig({ ...rest, torch_dtype: "float32" }, "config.json")).toMatchObject({
      bosId: null,
      eosId: null,
    });
  });

  it.each([
    ["hidden_size", [0, 1, -64, 64.5, "64", null, 65537, undefined]],
    ["num_layers", [0, 1025, 1.5, "1", undefined]],
    ["vocab_size", [0, 2 ** 24 + 1, undefined]],
    ["intermediate_size", [0, -1, 2 ** 20 + 1, undefined]],
    ["conv_kernel", [-1, 65, 1.5, undefined]],
    ["bos_token_id", [-1, 0.5, "1", 260]],
    ["eos_token_id", [-1, 0.5, "1", 260]],
    ["phase", [undefined, 3]],
    ["pvm", [undefined, []]],
    ["plm", [undefined, "4x4"]],
    ["phase.alpha", [undefined, "0.1", Number.NaN, Number.POSITIVE_INFINITY]],
    ["phase.omega", [undefined, 6, [], [6, 6]]],
    ["phase.phi", [undefined, [], [0, 0]]],
    ["pvm.omega", [undefined, [], [6, 6]]],
    ["pvm.phi", [undefined, [], [0, 0]]],
    ["plm.grid", [undefined, [4], [4, 4, 4], [3, 4], [8, 8], [256, 256]]],
  ])("with a bad %s is refused by the field's name", (field, values) => {
    for (const value of values) {
      const error = refused(withField(field, value));
      const shown = `${field} = ${JSON.stringify(value)}`;
      expect(error.code, shown).toBe("invalid_file");
      expect(error.where, shown).toMatch(/^a\/config\.json: /);
      expect(
        error.where?.replace("a/config.json: ", "").startsWith(field),
        `${shown}: ${error.message}`,
      ).toBe(true);
    }
  });

  it.each([
    ["phase.omega.0", { phase: { ...tinyConfig.phase, omega: ["six"] } }],
    ["pvm.phi.0", { pvm: { ...tinyConfig.pvm, phi: [null] } }],
    ["plm.grid.1", { plm: { grid: [4, 0] } }],
  ])("names the very element %s that is bad", (where, change) => {
    expect(refused({ ...tinyConfig, ...change }).where).toBe(`a/config.json: ${where}`);
  });

  it("of another architecture is refused by its name", () => {
    for (const type of ["gpt_neox", "llama", undefined]) {
      const error = refused({ ...tinyConfig, model_type: type });
      expect(error.code).toBe("unsupported");
      expect(error.message).toContain(type ?? "missing");
    }
  });

  it("that is no object is refused", () => {
    for (const value of [null, 3, "config", []]) expect(refused(value).code).toBe("unsupported");
  });
});

/** The tiny configuration with one field, of one or two names, replaced, or left out if `value` is undefined. */
function withField(path: string, value: unknown): Record<string, unknown> {
  const config = structuredClone<Record<string, unknown>>(tinyConfig);
  const names = path.split(".");
  const last = names.pop()!;
  const parent = names.reduce((object, name) => object[name] as Record<string, unknown>, config);
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return config;
}
