import { spawn } from "node:child_process";
import { once } from "node:events";
import { Command } from "commander";
import { createLogger, type Logger } from "../../api/log.ts";
import { listen } from "../../api/server.ts";
import { Service } from "../../api/service.ts";
import { openSessionStore } from "../../api/sessions/open-store.ts";
import { variableOf } from "../../api/settings.ts";
import { ResonantError } from "../../common/errors.ts";
import { collect } from "../../engine/generate.ts";
import type { Model } from "../../engine/model.ts";
import { openModel } from "../options.ts";
import { type ServeFlags, withServeOptions } from "../serve-options.ts";

/** `resonant serve`. */
export function serveCommand(): Command {
  return withServeOptions(new Command("serve").description("Serve a model over HTTP."))
    .option("--reload", "for development: restart when the program's files change")
    .action(async ({ reload, ...settings }: ServeFlags & { readonly reload?: boolean }) =>
      reload ? superviseReloads() : run(settings),
    );
}

async function run(settings: ServeFlags): Promise<void> {
  const log = createLogger(settings);
  const service = new Service(settings, log, await openSessionStore(settings, log));
  const server = await listen(service).catch((cause: Error) => {
    throw new ResonantError("invalid_argument", cause.message, { where: "--host, --port", cause });
  });
  const stopped = untilStopped(log);
  log.info(`listening on http://${settings.host}:${server.port}`);
  if (settings.stateSecret === undefined) {
    log.warn(`${variableOf("stateSecret")} is not set: states can be continued only until this process ends`);
  }
  const failed = load(settings, service, log);
  await Promise.race([stopped, failed.then(() => stopped)]);
  log.info(`draining: ${service.admission.running} requests run, ${service.admission.waiting} wait`);
  await server.drain();
  log.info("stopped");
}

/** Loads the model and compiles its pipelines, so that the first request does not wait for them. */
async function load(settings: ServeFlags, service: Service, log: Logger): Promise<void> {
  const start = performance.now();
  const model = await openModel(settings, {
    slots: settings.maxBatchSize,
    prefixBytes: settings.prefixCacheBytes,
  });
  await warmUp(model);
  service.serve(model);
  const seconds = (performance.now() - start) / 1000;
  log.info(`serving ${model.name} on ${model.gpu.name}, ready after ${seconds.toFixed(1)} s`);
}

/** Generates with one stream, with 16 and with the maximum, since other kernels run for other numbers of streams. */
async function warmUp(model: Model): Promise<void> {
  const scales = model.alignment ? [0, 1] : [0];
  const { most } = model.streams;
  for (const count of new Set([1, Math.min(16, most), most])) {
    for (const readoutScale of scales) {
      for (const metrics of [false, true]) {
        const options = { maxTokens: 2, temperature: 0, metrics, readoutScale };
        await Promise.all(Array.from({ length: count }, () => collect(model.generate([0, 0], options))));
      }
    }
  }
}

/** Resolves at the first SIGTERM or SIGINT. At the second one the process exits at once. */
function untilStopped(log: Logger): Promise<void> {
  return new Promise((resolve) => {
    let signals = 0;
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.on(signal, () => {
        log.info(`${signal} received`);
        if (++signals > 1) process.exit(130);
        resolve();
      });
    }
  });
}

/** Runs this command again under Node's watcher, which restarts it when a loaded file changes. */
async function superviseReloads(): Promise<void> {
  const [program, ...flags] = process.argv.slice(1).filter((argument) => argument !== "--reload");
  const child = spawn(process.execPath, ["--watch", "--watch-preserve-output", program!, ...flags], {
    stdio: "inherit",
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => child.kill(signal));
  const [code] = await once(child, "exit");
  process.exitCode = typeof code === "number" ? code : 0;
}
