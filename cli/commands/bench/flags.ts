import type { RetrievalMode } from "../../../engine/retrieval/retrieval-model.ts";
import type { WeightFormat } from "../../../kernels/matrix.ts";
import type { ModelFlags } from "../../options.ts";

export interface BenchFlags extends ModelFlags {
  readonly quick?: boolean;
  readonly list?: boolean;
  readonly lines?: boolean;
  readonly paper?: boolean;
  readonly save?: string | true;
  readonly plot?: boolean;
  readonly compare?: string;
  readonly from?: string;
  readonly load?: boolean;
  readonly streams?: readonly number[];
  readonly retrieval?: RetrievalMode;
  readonly formats?: readonly WeightFormat[];
  readonly prompt: readonly number[];
  readonly tokens: number;
  readonly rounds: number;
  readonly replay: boolean;
  readonly json?: boolean;
}
