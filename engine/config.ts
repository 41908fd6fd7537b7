import * as v from "valibot";
import { ResonantError } from "../common/errors.ts";

/** The shape of all blocks of a model. `D` = `size`. */
export interface BlockShape {
  readonly size: number;
  /** Taps k of the short convolution; 0: none. */
  readonly taps: number;
  readonly pvm: boolean;
  readonly lattice: { readonly grid: readonly [number, number]; readonly components: number } | undefined;
  /** Whether the gates have a matrix (native models). Otherwise a gate is the logistic of a bias (reference adapters). */
  readonly gated: boolean;
  /** Inner size M of the block's MLP; 0: none. */
  readonly inner: number;
}

/** The scalars of a block (SPEC §1). */
export interface BlockConstants {
  readonly alpha: number;
  readonly gamma: number;
  /** 0…1; the drive's weight is γ · ramp. */
  readonly ramp: number;
  /** ω of ψ, clamped if it is learnable. */
  readonly driveOmega: number;
  /** φ_eff. */
  readonly drivePhi: number;
  readonly pvmOmega: number;
  readonly pvmPhi: number;
  /**
   * α and β of the vector memory, averaged over its pairs, and its gate if it is constant; null: no vector memory.
   */
  readonly pvm: { readonly alpha: number; readonly beta: number; readonly gate: number | null } | null;
  /** `global_step`; it shifts the log-time of the PVM. */
  readonly step: number;
}

/** A native model's `config.json` (SPEC §A). */
export interface NativeConfig {
  readonly shape: BlockShape;
  readonly layers: number;
  readonly vocabulary: number;
  readonly phase: {
    readonly alpha: number;
    readonly omega: readonly number[];
    readonly phi: readonly number[];
  };
  readonly pvm: { readonly omega: readonly number[]; readonly phi: readonly number[] };
  readonly bosId: number | null;
  readonly eosId: number | null;
}

const count = (least: number, most: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));
const finite = v.pipe(v.number(), v.finite());
const tokenId = v.optional(v.nullable(count(0, 2 ** 31)), null);

const nativeConfig = v.object({
  model_type: v.literal("resonant"),
  hidden_size: count(2, 65536),
  num_layers: count(1, 1024),
  vocab_size: count(1, 2 ** 24),
  intermediate_size: count(1, 2 ** 20),
  conv_kernel: count(0, 64),
  phase: v.object({ alpha: finite, omega: v.array(finite), phi: v.array(finite) }),
  pvm: v.object({ omega: v.array(finite), phi: v.array(finite) }),
  plm: v.object({ grid: v.strictTuple([count(1, 256), count(1, 256)]) }),
  bos_token_id: tokenId,
  eos_token_id: tokenId,
});

/**
 * Checks a native model's configuration.
 * @throws ResonantError `unsupported` for another architecture, `invalid_file` naming the field otherwise.
 */
export function parseConfig(value: unknown, name: string): NativeConfig {
  const type =
    typeof value === "object" && value !== null && "model_type" in value ? value.model_type : undefined;
  if (type !== "resonant") {
    throw new ResonantError("unsupported", `model_type ${JSON.stringify(type) ?? "missing"}`, {
      where: name,
      fix: 'Supported are "resonant", "gpt_neox" and "llama"',
    });
  }
  const parsed = v.safeParse(nativeConfig, value);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw new ResonantError("invalid_file", issue.message, {
      where: `${name}: ${v.getDotPath(issue) ?? "config"}`,
    });
  }
  const c = parsed.output;
  for (const [field, list] of Object.entries({
    "phase.omega": c.phase.omega,
    "phase.phi": c.phase.phi,
    "pvm.omega": c.pvm.omega,
    "pvm.phi": c.pvm.phi,
  })) {
    if (list.length !== c.num_layers) {
      throw new ResonantError("invalid_file", `${list.length} values for ${c.num_layers} layers`, {
        where: `${name}: ${field}`,
      });
    }
  }
  const [gx, gy] = c.plm.grid;
  const components = c.hidden_size / (2 * gx * gy);
  if (!Number.isInteger(components)) {
    throw new ResonantError(
      "invalid_file",
      `hidden_size ${c.hidden_size} is not a multiple of 2·${gx}·${gy}`,
      {
        where: `${name}: plm.grid`,
      },
    );
  }
  for (const [field, id] of Object.entries({ bos_token_id: c.bos_token_id, eos_token_id: c.eos_token_id })) {
    if (id !== null && id >= c.vocab_size) {
      throw new ResonantError("invalid_file", `${id} is beyond vocab_size ${c.vocab_size}`, {
        where: `${name}: ${field}`,
      });
    }
  }
  return {
    shape: {
      size: c.hidden_size,
      taps: c.conv_kernel,
      pvm: true,
      lattice: { grid: [gx, gy], components },
      gated: true,
      inner: c.intermediate_size,
    },
    layers: c.num_layers,
    vocabulary: c.vocab_size,
    phase: c.phase,
    pvm: c.pvm,
    bosId: c.bos_token_id,
    eosId: c.eos_token_id,
  };
}
