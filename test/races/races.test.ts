import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Kernel } from "../../kernels/kernel.ts";
import { firstDifference } from "../gpu.ts";
import { compile, openRecording, type RecordedKernel, type Recording, replay } from "./record.ts";
import { orders, removals, usual } from "./rewrite.ts";
import { everything, steps } from "./scenarios.ts";

/** A recorded kernel and its device. */
type Found = RecordedKernel & { readonly device: GPUDevice };

/** A slow machine compiles long, on one core for each device. */
const LONG = 1_200_000;

/** Software's paths, a GPU's, and those that neither takes, of which a few steps of a native model are enough. */
const devices = [
  { kind: "software", run: everything },
  { kind: "a GPU", run: everything },
  { kind: "a GPU", host: { weightLayout: "rows" }, run: steps },
  { kind: "a GPU", host: { productTiles: "software" }, run: steps },
] as const;

/**
 * What kernels are called that have the same barriers in the same text, and differ in how weights are read, in the size of a
 * tile, or in whether lanes pass values on. To compile all of them takes minutes, so one of each family is run.
 */
const familyOf = ({ name }: Kernel): string =>
  name
    .replace(/(?:-interleaved)?-(?:f32|f16|q8|q4)$/, "")
    .replace(/-vec4$/, "")
    .replace(/-lanes(?:-\d-\d)?/, "")
    .replace(/^linear-gpu-\d+$/, "linear-gpu");

const recordings: Recording[] = [];
/** What each device has run; what several have, only once. */
let found: Found[][] = [];

beforeAll(async () => {
  const all = await Promise.all(
    devices.map(async ({ kind, run, ...more }) => {
      const recording = await openRecording(kind, "host" in more ? more.host : {});
      recordings.push(recording);
      await run(recording.gpu, ["f32"]);
      const { device } = recording.gpu;
      return (await recording.recorded()).map((kernel) => ({ ...kernel, device }));
    }),
  );
  // What several run, only once.
  const seen = new Set<string>();
  found = all.map((list) =>
    list.filter(({ kernel, overrides }) => {
      const key = JSON.stringify([kernel.code, overrides]);
      const first = !seen.has(key);
      seen.add(key);
      return first;
    }),
  );
}, LONG);

afterAll(() => {
  for (const { gpu } of recordings) gpu.destroy();
});

/** What `test` has against the kernels of each device. */
const onAll = async (test: (kernels: readonly Found[]) => Promise<string[]>): Promise<string[]> =>
  (await Promise.all(found.map(test))).flat();

const nameOf = ({ kernel, overrides }: Found): string => `${kernel.name} ${JSON.stringify(overrides)}`;

describe("the engine's kernels", () => {
  it("are all run by these tests, or one with the same barriers is", async () => {
    const folder = join(import.meta.dirname, "../../kernels");
    const sources = (await readdir(folder, { recursive: true })).filter((path) => path.endsWith(".ts"));
    const modules = sources.filter((path) => !/\.(?:test|d)\.ts$/.test(path));
    await Promise.all(modules.map((path) => import(join(folder, path))));
    const run = new Map(found.flat().map(({ kernel }) => [familyOf(kernel), kernel]));
    console.log(`${Kernel.all.length} kernels, ${run.size} families, ${found.flat().length} pipelines`);
    const barriers = ({ code }: Kernel): number => removals(code).length;
    const missed = Kernel.all.filter((kernel) => {
      const representative = run.get(familyOf(kernel));
      // What only lanes exchange needs no barrier.
      return !representative || (barriers(kernel) > 0 && barriers(kernel) !== barriers(representative));
    });
    expect(missed.map(({ name }) => name)).toEqual([]);
  });

  it(
    "give the same bits in every order of workgroups and invocations, whatever a workgroup's memory holds",
    async () => {
      let dispatches = 0;
      const differing = await onAll(async (kernels) => {
        const list: string[] = [];
        for (const of of kernels) {
          for (const dispatch of of.dispatches) {
            dispatches++;
            const [expected, ...others] = await replay(of.device, of.pipeline, dispatch, [usual, ...orders]);
            const wrong = orders.filter((_, i) => firstDifference(others[i]!, expected!) >= 0);
            const grid = dispatch.grid.join(" × ");
            if (wrong.length > 0) list.push(`${nameOf(of)}, ${grid}: ${JSON.stringify(wrong)}`);
          }
        }
        return list;
      });
      console.log(`${dispatches} dispatches in ${orders.length} orders`);
      expect(differing).toEqual([]);
    },
    LONG,
  );

  it(
    "need each of their barriers",
    async () => {
      let [barriers, refused] = [0, 0];
      const unnoticed = await onAll(async (kernels) => {
        const list: string[] = [];
        for (const uses of barriersOf(kernels)) {
          barriers++;
          let noticed: boolean | "refused" = false;
          for (const { of, code } of uses) {
            noticed = await notices(of, code);
            if (noticed) break;
          }
          if (noticed === "refused") refused++;
          if (!noticed)
            list.push(uses.map(({ of, barrier }) => `${of.kernel.name} without ${barrier}`).join(", "));
        }
        return list;
      });
      const seen = barriers - unnoticed.length;
      console.log(`${barriers} barriers, ${seen} removals noticed, ${refused} of them by the compiler`);
      expect(unnoticed).toEqual([]);
    },
    LONG,
  );
});

/** A kernel with one of its barriers removed. */
interface Use {
  readonly of: Found;
  readonly barrier: string;
  readonly code: string;
}

/** For each barrier of a function, the kernels that have it, the shortest first. */
function barriersOf(kernels: readonly Found[]): Use[][] {
  const by = new Map<string, Use[]>();
  for (const of of [...kernels].sort((a, b) => a.kernel.code.length - b.kernel.code.length)) {
    for (const { barrier, key, code } of removals(of.kernel.code)) {
      const uses = by.get(key) ?? [];
      by.set(key, [...uses, { of, barrier, code }]);
    }
  }
  return [...by.values()];
}

/** Whether one of the orders shows that `code` is not `of`, or the compiler refuses it, because not all invocations agree. */
async function notices(of: Found, code: string): Promise<boolean | "refused"> {
  const { pipeline, error } = compile(of.device, code, of.overrides);
  const message = await error;
  if (message !== undefined) {
    if (!message.includes("uniform")) throw new Error(`${nameOf(of)}: ${message}`);
    return "refused";
  }
  for (const dispatch of of.dispatches) {
    const [expected] = await replay(of.device, of.pipeline, dispatch, [usual]);
    const others = await replay(of.device, pipeline, dispatch, [usual, ...orders]);
    if (others.some((words) => firstDifference(words, expected!) >= 0)) return true;
  }
  return false;
}
