import { readPickle } from "./pickle.ts";
import { EndOfPickle } from "./pickle-cursor.ts";
import { type LegacyPickles, readLegacyPickles } from "./pt-legacy.ts";
import { type CheckpointTree, flattenCheckpoint } from "./pt-tree.ts";
import { asFileError, invalidFile } from "./refuse.ts";

/** A checkpoint's pickle as today's torch.save writes it, or the first bytes of an older file, which begins with pickles. */
export interface PickleBytes {
  readonly kind: "zip" | "legacy";
  readonly bytes: Uint8Array;
  /** The file, and where in it the pickle is, for errors. */
  readonly file: string;
  readonly where: string;
}

/** What is in a pickle; or that more bytes are needed to tell, and the error if there are none. */
export type ReadPickles =
  | (Partial<LegacyPickles> & { readonly tree: CheckpointTree })
  | { readonly truncated: string };

/** Reads the pickles of checkpoints, in a thread of its own: `tasks.ts` names it. */
export const openPickles =
  () =>
  (input: PickleBytes): ReadPickles => {
    const { kind, bytes, file, where } = input;
    try {
      if (kind === "legacy") {
        const { value, ...rest } = readLegacyPickles(bytes, file);
        return { ...rest, tree: flattenCheckpoint(file, value) };
      }
      const { value, end } = readPickle(bytes, where);
      if (end !== bytes.length) {
        throw invalidFile(where, `its pickle ends at byte ${end} of ${bytes.length}`);
      }
      return { tree: flattenCheckpoint(file, value) };
    } catch (error) {
      if (kind === "legacy" && error instanceof EndOfPickle) return { truncated: error.message };
      throw asFileError(file, error);
    }
  };
