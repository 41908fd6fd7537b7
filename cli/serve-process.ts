import { isIPv6 } from "node:net";
import { createLogger, type Logger } from "../api/log.ts";
import { listen } from "../api/server.ts";
import { Service } from "../api/service.ts";
import { openSessionStore } from "../api/sessions/open-store.ts";
import { checkSettings, variableOf } from "../api/settings.ts";
import { ResonantError } from "../common/errors.ts";
import { collect } from "../engine/generate.ts";
import type { Model } from "../engine/model.ts";
import { openModel } from "./options.ts";
import type { ServeFlags } from "./serve-options.ts";
import { type StopSignal, stopSignals } from "./supervise.ts";

/**
 * Serves a model until SIGTERM or SIGINT, and resolves when the server has drained.
 * @param supervised whether `superviseLog` has started this process: it says then when to stop, and its end ends this one
 * @throws ResonantError for settings, an address or a model that cannot be used
 */
export async function serve(settings: ServeFlags, supervised: boolean): Promise<void> {
  checkSettings(settings);
  const log = createLogger(settings);
  const service = new Service(settings, log, await openSessionStore(settings, log));
  const server = await listen(service).catch((cause: Error) => {
    throw new ResonantError("invalid_argument", cause.message, { where: "--host, --port", cause });
  });
  const stopped = untilStopped(log, supervised);
  log.info(`listening on ${urlOf(settings.host, server.port)}`);
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

const urlOf = (host: string, port: number): string => `http://${isIPv6(host) ? `[${host}]` : host}:${port}`;

/** Resolves at the first SIGTERM or SIGINT. At the second one the process exits at once. */
function untilStopped(log: Logger, supervised: boolean): Promise<void> {
  return new Promise((resolve) => {
    let orders = 0;
    const stop = (signal: StopSignal): void => {
      log.info(`${signal} received`);
      if (++orders > 1) process.exit(130);
      resolve();
    };
    // Service managers signal the supervisor and its child both; only the supervisor knows what was asked for twice.
    for (const signal of stopSignals) {
      process.on(signal, () => (supervised ? resolve() : stop(signal)));
    }
    if (!supervised) return;
    process.on("message", (signal: StopSignal) => stop(signal));
    process.on("disconnect", () => process.exit(1));
  });
}
