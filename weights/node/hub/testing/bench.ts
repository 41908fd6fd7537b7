import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { ResonantError } from "../../../../common/errors.ts";
import { startHub, type TestHub } from "../../../../test/hub.ts";
import type { HubOptions } from "../fetch.ts";

/** What the tests of this folder work with: a hub, and an empty cache. */
export interface Bench {
  readonly hub: TestHub;
  /** A folder for this test alone. */
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  /** Options that use this hub and do not wait long. */
  readonly options: Omit<HubOptions, "repo"> & { readonly env: NodeJS.ProcessEnv };
}

/** Gives the tests of a file a hub of their own, and each test an empty cache. */
export function bench(): Bench {
  let hub: TestHub | undefined;
  let folder = "";
  beforeAll(async () => {
    hub = await startHub();
  });
  afterAll(() => hub?.stop());
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "resonant-hub-"));
  });
  afterEach(async () => {
    if (hub) {
      hub.intercept = undefined;
      hub.asked();
    }
    await rm(folder, { recursive: true, force: true });
  });
  return {
    get hub() {
      if (!hub) throw new Error("the hub has not been started");
      return hub;
    },
    get folder() {
      return folder;
    },
    get env() {
      return { HOME: folder, HF_HOME: join(folder, "hf"), HF_ENDPOINT: this.hub.url };
    },
    get options() {
      return { env: this.env, patience: { tries: 3, waitMs: 1, stallMs: 5_000 } };
    },
  };
}

/** The ResonantError that a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<ResonantError> {
  const error = await promise.then(
    (value) => new Error(`it succeeded: ${String(value)}`),
    (reason: unknown) => reason,
  );
  if (error instanceof ResonantError) return error;
  throw error;
}
