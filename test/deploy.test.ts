import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { settingNames } from "../api/settings.ts";
import { Telemetry } from "../api/telemetry.ts";
import { parseEvents, ResonantClient, ServerError } from "../examples/api-client.ts";
import { type Container, expanded, oneOf, type Resource, readManifests, type Variable } from "./manifests.ts";

const file = (path: string): Promise<string> => readFile(new URL(`../${path}`, import.meta.url), "utf8");

const manifests = await readManifests("kubernetes.yaml");
const valkey = await readManifests("valkey.yaml");
const keda = await readManifests("keda.yaml");
const resource = (kind: string): Resource => oneOf(manifests, kind);

const config = resource("ConfigMap").data;
const { template, selector, strategy } = resource("Deployment").spec;
const pod = template.spec;
const container = pod.containers[0]!;
const ownVariables = new Map(container.env.map((variable) => [variable.name, variable]));

/** Returns the variables that these texts refer to as `$(NAME)`. */
const referred = (texts: readonly (string | undefined)[]): string[] =>
  texts.flatMap((text = "") => Array.from(text.matchAll(/\$\((\w+)\)/g), ([, name]) => name!));

/** Expects that a variable's value comes from the Secret, which may be absent. */
function expectSecret({ value, valueFrom }: Variable): void {
  expect(value).toBeUndefined();
  expect(valueFrom?.secretKeyRef.name).toBe("resonant-api");
  expect(valueFrom?.secretKeyRef.optional ?? false).toBe(false);
}

function expectConfined(security: Record<string, unknown>, { securityContext }: Container): void {
  expect(security).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
  expect(securityContext).toMatchObject({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
  });
}

const known = new Set([...settingNames, "RESONANT_CACHE", "HF_HOME", "XDG_CACHE_HOME", "NODE_ENV"]);
const foreign = /^(NVIDIA|VK)_/;

/** Returns the `names` that nothing reads. */
const unknown = (names: Iterable<string>): string[] =>
  [...names].filter((name) => !known.has(name) && !foreign.test(name));

describe("deploy/kubernetes.yaml", () => {
  it("uses different endpoints for readiness and liveness", () => {
    expect(container.startupProbe.httpGet.path).toBe("/readyz");
    expect(container.readinessProbe.httpGet.path).toBe("/readyz");
    expect(container.livenessProbe.httpGet.path).toBe("/livez");
    for (const { httpGet } of [container.startupProbe, container.readinessProbe, container.livenessProbe]) {
      expect(container.ports.map(({ name }) => name)).toContain(httpGet.port);
    }
    const { startupProbe } = container;
    expect(startupProbe.periodSeconds * startupProbe.failureThreshold).toBeGreaterThanOrEqual(120);
  });

  it("lets a pod drain before it is killed", () => {
    const [command, pause] = container.lifecycle.preStop.exec.command;
    expect(command).toBe("sleep");
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(Number(pause) + Number(config.DRAIN_TIMEOUT_S));
    expect(strategy.rollingUpdate.maxUnavailable).toBe(0);
  });

  it("sets only what the server reads", () => {
    const parts = referred(container.env.map(({ value }) => value));
    const own = container.env.map(({ name }) => name).filter((name) => !parts.includes(name));
    expect(unknown([...Object.keys(config), ...own])).toEqual([]);
    expect(Object.values(config).every((value) => typeof value === "string")).toBe(true);
    expect(container.envFrom).toEqual([{ configMapRef: { name: resource("ConfigMap").metadata.name } }]);
  });

  it("takes its secrets from a Secret that no file contains", async () => {
    for (const name of ["API_KEYS", "STATE_SECRET", "SESSION_PASSWORD"]) {
      expectSecret(ownVariables.get(name)!);
      expect(config).not.toHaveProperty(name);
    }
    const keys = container.env.flatMap(({ valueFrom }) => valueFrom?.secretKeyRef.key ?? []);
    for (const text of await Promise.all(["deploy/kubernetes.yaml", "deploy/README.md"].map(file))) {
      for (const key of keys) expect(text).toContain(`--from-literal=${key}=`);
    }
    expect([...manifests, ...valkey, ...keda].map(({ kind }) => kind)).not.toContain("Secret");
  });

  it("runs without root, and can write only to the caches", () => {
    expectConfined(pod.securityContext, container);
    const cache = ownVariables.get("RESONANT_CACHE")?.value;
    const mount = container.volumeMounts.find(({ mountPath }) => mountPath === cache);
    expect(pod.volumes.find(({ name }) => name === mount?.name)?.emptyDir).toBeDefined();
    expect(container.resources.limits["nvidia.com/gpu"]).toBe(1);
  });

  it("selects its pods in the Service, the budget and Prometheus", () => {
    const { labels, annotations } = template.metadata;
    expect(selector).toEqual({ matchLabels: labels });
    expect(resource("PodDisruptionBudget").spec.selector).toEqual({ matchLabels: labels });
    expect(resource("Service").spec.selector).toEqual(labels);
    expect(resource("Service").spec.ports[0]?.targetPort).toBe(container.ports[0]?.name);
    const port = String(container.ports[0]?.containerPort);
    expect(annotations["prometheus.io/port"]).toBe(port);
    expect(ownVariables.get("API_PORT")?.value).toBe(port);
  });
});

describe("deploy/valkey.yaml", () => {
  const set = oneOf(valkey, "StatefulSet");
  const service = oneOf(valkey, "Service");
  const policy = oneOf(valkey, "NetworkPolicy");
  const { template: storeTemplate, serviceName, replicas, volumeClaimTemplates } = set.spec;
  const store = storeTemplate.spec.containers[0]!;
  const flag = (name: string): string | undefined => store.args[store.args.indexOf(`--${name}`) + 1];

  it("stores the sessions of every replica, with one password", () => {
    const names = container.env.map(({ name }) => name);
    const { value } = ownVariables.get("SESSION_STORE")!;
    const url = new URL(expanded(value!, { SESSION_PASSWORD: "0f" }));
    expect([url.protocol, url.hostname, url.password]).toEqual(["redis:", service.metadata.name, "0f"]);
    expect(Number(url.port)).toBe(service.spec.ports[0]?.port);
    // Kubernetes can refer only to variables that are defined earlier.
    expect(names.indexOf("SESSION_PASSWORD")).toBeLessThan(names.indexOf("SESSION_STORE"));

    const password = store.env.find(({ name }) => name === flag("requirepass")?.slice(2, -1))!;
    expectSecret(password);
    expect(password.valueFrom).toEqual(ownVariables.get("SESSION_PASSWORD")?.valueFrom);
    expect(referred(store.args).concat(referred(store.env.map((one) => one.value)))).toEqual([
      password.name,
      password.name,
    ]);
  });

  it("loses no session before it expires, neither when memory is full nor at a restart", () => {
    expect(flag("maxmemory-policy")).toBe("noeviction");
    // Leaves room for changes while the file is rewritten.
    const [most, limit] = [flag("maxmemory"), String(store.resources.limits.memory)];
    expect([most, limit]).toEqual([expect.stringMatching(/^\d+gb$/), expect.stringMatching(/^\d+Gi$/)]);
    expect(Number.parseInt(limit, 10)).toBeGreaterThanOrEqual(2 * Number.parseInt(most!, 10));
    expect([flag("appendonly"), flag("appendfsync")]).toEqual(["yes", "always"]);
    const volume = store.volumeMounts.find(({ mountPath }) => mountPath === flag("dir"));
    expect(volumeClaimTemplates.map(({ metadata }) => metadata.name)).toEqual([volume?.name]);
    // Two stores would not share their data.
    expect(replicas).toBe(1);
  });

  it("runs a fixed version without root, and can write only to its volume", () => {
    expectConfined(storeTemplate.spec.securityContext, store);
    expect(store.volumeMounts).toHaveLength(1);
    expect(store.image).toMatch(/^valkey\/valkey:\d+\.\d+/);
  });

  it("selects its pod in the Service, and admits only the API's pods", () => {
    const { labels } = storeTemplate.metadata;
    expect(set.spec.selector).toEqual({ matchLabels: labels });
    expect(service.spec.selector).toEqual(labels);
    expect(serviceName).toBe(service.metadata.name);
    expect(policy.spec.podSelector).toEqual({ matchLabels: labels });
    expect(policy.spec.ingress).toEqual([
      {
        from: [{ podSelector: { matchLabels: template.metadata.labels } }],
        ports: [{ port: store.ports[0]?.name }],
      },
    ]);
    expect(service.spec.ports[0]?.targetPort).toBe(store.ports[0]?.name);
    expect(String(store.ports[0]?.containerPort)).toBe(flag("port"));
    expect(labels).not.toEqual(template.metadata.labels);
  });
});

describe("deploy/keda.yaml", () => {
  const { scaleTargetRef, minReplicaCount, maxReplicaCount, advanced, triggers } = oneOf(
    keda,
    "ScaledObject",
  ).spec;
  const [trigger] = triggers;

  it("queries metrics that the server exports", async () => {
    const one = (): number => 1;
    const gauges = { running: one, waiting: one, stateBytes: one, gpuBytes: one, ready: () => true };
    const text = await new Telemetry(gauges).metrics.write("text");
    const asked = trigger?.metadata.query?.match(/resonant_\w+/g) ?? [];
    expect(asked).toEqual(["resonant_num_requests_running", "resonant_num_requests_waiting"]);
    for (const name of asked) expect(text).toContain(`# TYPE ${name} gauge\n${name} 1\n`);
  });

  it("scales the Deployment, which does not set its own number of replicas", () => {
    expect(scaleTargetRef.kind ?? "Deployment").toBe("Deployment");
    expect(scaleTargetRef.name).toBe(resource("Deployment").metadata.name);
    expect(resource("Deployment").spec).not.toHaveProperty("replicas");
    expect(triggers).toHaveLength(1);
    expect(trigger?.type).toBe("prometheus");
  });

  it("starts a replica before requests must wait, and keeps at least two", () => {
    // The thresholds apply to the average per replica.
    expect(trigger?.metricType).toBe("AverageValue");
    expect(Number(trigger?.metadata.threshold)).toBeGreaterThan(0);
    expect(Number(trigger?.metadata.threshold)).toBeLessThan(Number(config.MAX_BATCH_SIZE));
    expect(minReplicaCount).toBe(2);
    expect(maxReplicaCount).toBeGreaterThan(minReplicaCount);
  });

  it("stops one replica at a time after it has drained, and none if data is missing", () => {
    const { policies } = advanced.horizontalPodAutoscalerConfig.behavior.scaleDown;
    expect(policies).toHaveLength(1);
    expect(policies[0]).toMatchObject({ type: "Pods", value: 1 });
    expect(policies[0]?.periodSeconds).toBeGreaterThan(pod.terminationGracePeriodSeconds);
    expect(trigger?.metadata.ignoreNullValues).toBe("false");
    expect(Object.values(trigger!.metadata).every((value) => typeof value === "string")).toBe(true);
  });
});

describe("deploy/Dockerfile", async () => {
  // One statement per line, without comments.
  const statements = (await file("deploy/Dockerfile"))
    .replace(/^#.*\n/gm, "")
    .replace(/\\\n\s*/g, "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const starting = (word: string): string[] => statements.filter((line) => line.startsWith(`${word} `));

  it("sets only what something reads", () => {
    const names = starting("ENV").flatMap((line) =>
      Array.from(line.matchAll(/([A-Z_]+)=/g), ([, name]) => name!),
    );
    expect(names).toContain("API_PORT");
    expect(unknown(names)).toEqual([]);
  });

  it("has a target with a driver and one for a GPU, both without root", () => {
    const stages = statements.join("\n").split(/^(?=FROM )/m);
    for (const target of ["cpu", "gpu"]) {
      const stage = stages.find((text) => text.includes(` AS ${target}\n`));
      expect(stage).toMatch(/libvulkan1/);
      expect(stage).toMatch(/\nUSER 1000:1000\s*$/);
    }
    expect(stages.at(-1)).toContain(" AS gpu\n");
  });

  it("starts the server so that signals reach it", () => {
    expect(starting("CMD")).toEqual(['CMD ["node", "dist/cli.js", "serve"]']);
    expect(starting("ENTRYPOINT")).toEqual([]);
    expect(starting("HEALTHCHECK")[0]).toContain("/livez");
    expect(starting("EXPOSE")).toEqual(["EXPOSE 8000"]);
  });

  it("copies only files that exist and that its ignore file allows", async () => {
    const ignored = await file("deploy/Dockerfile.dockerignore");
    for (const line of starting("COPY")) {
      if (line.includes("--from=")) continue;
      for (const path of line.split(" ").slice(1, -1)) {
        if (path !== ".") await file(path);
        if (path.startsWith("deploy/")) expect(ignored.split("\n")).toContain(`!${path}`);
      }
    }
    for (const path of ["node_modules", "dist", ".git", ".env*"]) expect(ignored.split("\n")).toContain(path);
  });
});

describe("deploy's texts", () => {
  it.each(["README.md", "nginx.conf"])("name only settings that exist: %s", async (name) => {
    const names = (await file(`deploy/${name}`)).match(/\b[A-Z]+(?:_[A-Z]+)+\b/g) ?? [];
    expect(names.length).toBeGreaterThan(2);
    expect(unknown(new Set(names))).toEqual([]);
  });
});

describe("deploy/nginx.conf", async () => {
  const text = (await file("deploy/nginx.conf")).replace(/^\s*#.*\n/gm, "");

  it("forwards events at once, and waits for a long answer", () => {
    expect(text).toMatch(/^\s*proxy_buffering off;/m);
    expect(Number(/proxy_read_timeout (\d+)s;/.exec(text)?.[1])).toBeGreaterThanOrEqual(300);
  });

  it("repeats no request that a server may have started, and does not expose the metrics", () => {
    expect(text).toMatch(/^\s*proxy_next_upstream error timeout;/m);
    expect(text).toMatch(/location = \/metrics \{\s*return 404;/);
  });
});

describe("examples/api-client.ts", () => {
  const answering = (body: string, init: ResponseInit = {}, size = 3) => {
    const bytes = new TextEncoder().encode(body);
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size),
    );
    return async () => {
      const start = (controller: ReadableStreamDefaultController<Uint8Array>) => {
        for (const chunk of chunks) controller.enqueue(chunk);
        controller.close();
      };
      return new Response(new ReadableStream({ start }), init);
    };
  };
  const client = (respond: typeof fetch) => new ResonantClient("http://resonant.test/", { fetch: respond });

  it.each(["\n", "\r\n", "\r"])("reads events whose lines end in %j, split anywhere", async (end) => {
    const lines = [
      ": a comment",
      "",
      "event: note",
      "data: ü",
      "data:b",
      "id: 4",
      "",
      "data: 🎭",
      "",
      "data: unfinished",
    ];
    for (const size of [1, 2, 5, 1000]) {
      const response = await answering(lines.join(end), {}, size)();
      const events = [];
      for await (const event of parseEvents(response.body!)) events.push(event);
      expect(events).toEqual([
        { name: "note", data: "ü\nb" },
        { name: "message", data: "🎭" },
      ]);
    }
  });

  it("yields a stream's text, and returns the whole answer", async () => {
    const events =
      'data: {"text":"a\u2028"}\n\n: beat\n\ndata: {"text":"b"}\n\nevent: done\ndata: {"text":"a\u2028b"}\n\n';
    const stream = client(answering(events)).stream("p");
    const pieces: string[] = [];
    let next = await stream.next();
    for (; !next.done; next = await stream.next()) pieces.push(next.value);
    expect(pieces).toEqual(["a\u2028", "b"]);
    expect(next.value).toEqual({ text: "a\u2028b" });
  });

  it("throws a stream's error, and an error if a stream ends early", async () => {
    const failed = 'data: {"text":"a"}\n\nevent: error\ndata: {"error":"model_error","message":"m"}\n\n';
    const read = async (body: string) => {
      for await (const _ of client(answering(body)).stream("p"));
    };
    await expect(read(failed)).rejects.toMatchObject({ status: 200, body: { error: "model_error" } });
    await expect(read('data: {"text":"a"}\n\n')).rejects.toThrow("ended before");
  });

  it("throws the server's error response", async () => {
    const init = { status: 400, headers: { "X-Request-Id": "r1" } };
    const refused = '{"error":"validation_error","message":"m","details":{"field":"top_k"}}';
    const error = await client(answering(refused, init))
      .generate("p")
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ServerError);
    expect(error).toMatchObject({ status: 400, requestId: "r1", body: { details: { field: "top_k" } } });
    await expect(client(answering("<html>", { status: 502 })).health()).rejects.toThrow("unknown: 502");
  });
});
