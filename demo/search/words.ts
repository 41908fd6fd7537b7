import { ResonantError } from "../../common/errors.ts";
import type { RetrievalMode } from "../../engine/retrieval/retrieval-model.ts";
import { failureOf } from "../engine/errors.ts";

export const count = (value: number, noun: string): string =>
  `${value.toLocaleString("en")} ${noun}${value === 1 ? "" : "s"}`;

/** Three decimals, rounded down: only 1 is told as 1. */
export const decimal = (value: number): string =>
  value === 1 ? "1" : (Math.floor(value * 1000) / 1000).toFixed(3);

/** A confidence as a number: small ones have no meaning of their own. */
export const confidenceInDigits = (confidence: number): string =>
  confidence < 0.001 ? "below 0.001" : decimal(confidence);

export const duration = (milliseconds: number): string =>
  milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;

/** A match of less confidence is most likely none. */
export const FAINT = 0.1;

/** What a confidence says: see the engine's `Background`. */
export function confidenceInWords(confidence: number): string {
  if (confidence >= 0.9) return "stands out clearly";
  if (confidence >= 0.5) return "stands out";
  if (confidence >= FAINT) return "stands out a little";
  return "hardly stands out from the background";
}

export const MODES: Readonly<Record<RetrievalMode, { readonly name: string; readonly says: string }>> = {
  hybrid: { name: "Both memories", says: "The mean of the vector memory’s similarity and the lattice’s." },
  pvm: {
    name: "Vector memory",
    says: "Leaky sums of the last tokens, each pair with a time scale of its own.",
  },
  plm: {
    name: "Lattice",
    says: "Coupled resonators that the last tokens set swinging, each at its own frequency.",
  },
};

/** The form's fields, by the names of their options. */
const FIELDS = ["context", "needle", "mode", "topK"] as const;

export type Field = (typeof FIELDS)[number];

export interface Fault {
  /** None where no field is at fault. */
  readonly field: Field | undefined;
  readonly message: string;
}

const SUBJECTS: Readonly<Partial<Record<Field, string>>> = { context: "The text ", needle: "The needle " };

/** Which field an error of the search is about, and the error as a sentence. */
export function faultOf(error: unknown): Fault {
  const { message, option, problem, fix } = failureOf(error);
  const field = FIELDS.find((name) => name === option);
  if (!field) return { field: undefined, message };
  const said = `${SUBJECTS[field] ?? ""}${problem}${fix === undefined ? "" : `. ${fix}`}`;
  return { field, message: `${said[0]!.toUpperCase()}${said.slice(1)}${said.endsWith(".") ? "" : "."}` };
}

/** A fault that the page itself finds in a field. */
export const faulty = (option: Field, problem: string, fix?: string): ResonantError =>
  new ResonantError("invalid_argument", problem, { option, fix });
