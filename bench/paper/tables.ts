import { stepNow } from "./after.ts";
import { stepBefore } from "./before.ts";
import { type PaperDevice, paperDevices, secondsOf } from "./devices.ts";
import type { Launch, ProductLaunch } from "./launch.ts";
import { decoderStep, nativeStep, type StepOnPaper } from "./models.ts";

/** Where a figure has changed: from → to. */
const change = (before: string | number, now: string | number): string =>
  String(before) === String(now) ? String(now) : `${before} → ${now}`;

const H100 = paperDevices[0]!;

/**
 * What a GPU should do, as Markdown: every product of the models before (commit 0ee2fbe) and now, and a token's predicted
 * time. The present is recorded from the engine itself, so that the tables cannot drift from the code.
 */
export async function paperTables(): Promise<string> {
  const steps = [
    await decoderStep("tinyllama-1.1b", "f16"),
    await decoderStep("tinyllama-1.1b", "q4"),
    await decoderStep("pythia-160m", "f16"),
    await nativeStep("f32"),
  ];
  const both = steps.map((step) => ({
    step,
    before: stepBefore(step.products, step.format, step.model === "default"),
    now: stepNow(step),
  }));
  return [
    "| model | product | MB | workgroups | threads | loads in flight, a thread | waits | lines a load | barriers | µs, H100 |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...both.flatMap(({ step, before, now }) => productRows(step, before, now)),
    "",
    `| model | dispatches | ${paperDevices.map(({ name }) => `${name}: ms a token | bandwidth, % `).join("| ")}|`,
    `| --- | ---: |${" ---: | ---: |".repeat(paperDevices.length)}`,
    ...both.map(({ step, before, now }) =>
      [
        `| ${step.model} ${step.format}`,
        change(before.length, now.length),
        ...paperDevices.flatMap((on) => {
          const [then, today] = [tokenOn(before, on), tokenOn(now, on)];
          return [
            change((1e3 * then.seconds).toPrecision(3), (1e3 * today.seconds).toPrecision(3)),
            change((100 * then.share).toPrecision(2), (100 * today.share).toPrecision(2)),
          ];
        }),
      ]
        .join(" | ")
        .concat(" |"),
    ),
    "",
  ].join("\n");
}

function productRows(
  { model, format, products }: StepOnPaper,
  before: readonly Launch[],
  now: readonly Launch[],
): string[] {
  return products.map(({ name, count }) => {
    const [then, today] = [find(before, name), find(now, name)];
    const [a, b] = [then.product, today.product];
    const loads = ({ loads, loadBytes }: ProductLaunch): string => `${loads} × ${loadBytes} B`;
    const micro = (of: Launch): string => (1e6 * secondsOf(of, H100)).toPrecision(3);
    const cells = [
      `${model} ${format}`,
      `${name} ${b.shape}${count > 1 ? `, ${count} ×` : ""}`,
      (b.bytes / 1e6).toPrecision(3),
      change(then.workgroups, today.workgroups),
      change(a.threads, b.threads),
      change(loads(a), loads(b)),
      change(a.waits, b.waits),
      change(a.lines, Math.round(b.lines)),
      change(a.barriers, b.barriers),
      change(micro(then), micro(today)),
    ];
    return `| ${cells.join(" | ")} |`;
  });
}

function find(step: readonly Launch[], name: string): Launch & { readonly product: ProductLaunch } {
  const found = step.find(({ what, product }) => what === name && product);
  if (!found?.product) throw new Error(`no dispatch multiplies by ${name}`);
  return { ...found, product: found.product };
}

/** A token's seconds, and the share of the bandwidth that reading its weights then takes. */
export function tokenOn(step: readonly Launch[], on: PaperDevice): { seconds: number; share: number } {
  const seconds = step.reduce((sum, launch) => sum + secondsOf(launch, on), 0);
  const bytes = step.reduce((sum, { product }) => sum + (product?.bytes ?? 0), 0);
  return { seconds, share: bytes / on.bytesPerSecond / seconds };
}
