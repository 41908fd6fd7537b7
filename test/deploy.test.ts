import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { settingNames } from "../api/settings.ts";
import { parseEvents, ResonantClient, ServerError } from "../examples/api-client.ts";

const file = (path: string): Promise<string> => readFile(new URL(`../${path}`, import.meta.url), "utf8");

interface Probe {
  httpGet: { path: string; port: string };
  periodSeconds: number;
  failureThreshold: number;
}

interface Variable {
  name: string;
  value?: string;
  valueFrom?: { secretKeyRef: { name: string; key: string; optional?: boolean } };
}

interface Container {
  image: string;
  ports: { name: string; containerPort: number }[];
  env: Variable[];
  envFrom: { configMapRef: { name: string } }[];
  resources: { limits: Record<string, number | string> };
  startupProbe: Probe;
  readinessProbe: Probe;
  livenessProbe: Probe;
  lifecycle: { preStop: { exec: { command: string[] } } };
  securityContext: Record<string, unknown>;
  volumeMounts: { name: string; mountPath: string }[];
}

interface Resource {
  kind: string;
  metadata: { name: string };
  data: Record<string, string>;
  spec: {
    selector: Record<string, unknown>;
    ports: { targetPort: string }[];
    strategy: { rollingUpdate: { maxUnavailable: number } };
    template: {
      metadata: { labels: Record<string, string>; annotations: Record<string, string> };
      spec: {
        terminationGracePeriodSeconds: number;
        securityContext: Record<string, unknown>;
        containers: Container[];
        volumes: { name: string; emptyDir?: unknown }[];
      };
    };
  };
}

const resources = parseAllDocuments(await file("deploy/kubernetes.yaml")).map((document) => {
  if ("errors" in document && document.errors.length > 0) throw document.errors[0];
  return document.toJS() as Resource;
});

function resource(kind: string): Resource {
  const found = resources.filter((one) => one.kind === kind);
  expect(found).toHaveLength(1);
  return found[0]!;
}

const config = resource("ConfigMap").data;
const { template, selector, strategy } = resource("Deployment").spec;
const pod = template.spec;
const container = pod.containers[0]!;
const ownVariables = new Map(container.env.map((variable) => [variable.name, variable]));

const known = new Set([...settingNames, "RESONANT_CACHE", "HF_HOME", "XDG_CACHE_HOME", "NODE_ENV"]);
const foreign = /^(NVIDIA|VK)_/;

/** Those of `names` that nothing reads. */
const unknown = (names: Iterable<string>): string[] =>
  [...names].filter((name) => !known.has(name) && !foreign.test(name));

describe("deploy/kubernetes.yaml", () => {
  it("asks the endpoints that tell readiness from life", () => {
    expect(container.startupProbe.httpGet.path).toBe("/readyz");
    expect(container.readinessProbe.httpGet.path).toBe("/readyz");
    expect(container.livenessProbe.httpGet.path).toBe("/livez");
    for (const { httpGet } of [container.startupProbe, container.readinessProbe, container.livenessProbe]) {
      expect(container.ports.map(({ name }) => name)).toContain(httpGet.port);
    }
    const { startupProbe } = container;
    expect(startupProbe.periodSeconds * startupProbe.failureThreshold).toBeGreaterThanOrEqual(120);
  });

  it("kills no pod before it has drained", () => {
    const [command, pause] = container.lifecycle.preStop.exec.command;
    expect(command).toBe("sleep");
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(Number(pause) + Number(config.DRAIN_TIMEOUT_S));
    expect(strategy.rollingUpdate.maxUnavailable).toBe(0);
  });

  it("sets only what the server reads", () => {
    expect(unknown([...Object.keys(config), ...ownVariables.keys()])).toEqual([]);
    expect(Object.values(config).every((value) => typeof value === "string")).toBe(true);
    expect(container.envFrom).toEqual([{ configMapRef: { name: resource("ConfigMap").metadata.name } }]);
  });

  it("has its secrets from a Secret, and not by default from nowhere", () => {
    for (const name of ["API_KEYS", "STATE_SECRET"]) {
      const { value, valueFrom } = ownVariables.get(name)!;
      expect(value).toBeUndefined();
      expect(valueFrom?.secretKeyRef.optional ?? false).toBe(false);
      expect(config).not.toHaveProperty(name);
    }
    expect(resources.map(({ kind }) => kind)).not.toContain("Secret");
  });

  it("runs without root, on a file system that only the caches can be written on", () => {
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      seccompProfile: { type: "RuntimeDefault" },
    });
    expect(container.securityContext).toMatchObject({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    const cache = ownVariables.get("RESONANT_CACHE")?.value;
    const mount = container.volumeMounts.find(({ mountPath }) => mountPath === cache);
    expect(pod.volumes.find(({ name }) => name === mount?.name)?.emptyDir).toBeDefined();
    expect(container.resources.limits["nvidia.com/gpu"]).toBe(1);
  });

  it("leads the Service, the budget and Prometheus to the pods", () => {
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

describe("deploy/Dockerfile", async () => {
  // A statement a line, without comments.
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

  it("has a target with a driver and one for a GPU, neither as root", () => {
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

  it("copies what exists, and what its ignore file lets through", async () => {
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

  it("passes events on as they come, and waits for a long answer", () => {
    expect(text).toMatch(/^\s*proxy_buffering off;/m);
    expect(Number(/proxy_read_timeout (\d+)s;/.exec(text)?.[1])).toBeGreaterThanOrEqual(300);
  });

  it("repeats no request that a server may have begun, and shows nobody the metrics", () => {
    expect(text).not.toContain("non_idempotent");
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

  it.each(["\n", "\r\n", "\r"])("reads events whose lines end in %j, cut anywhere", async (end) => {
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

  it("yields a stream's text, and returns its answer", async () => {
    const events =
      'data: {"text":"a\u2028"}\n\n: beat\n\ndata: {"text":"b"}\n\nevent: done\ndata: {"text":"a\u2028b"}\n\n';
    const stream = client(answering(events)).stream("p");
    const pieces: string[] = [];
    let next = await stream.next();
    for (; !next.done; next = await stream.next()) pieces.push(next.value);
    expect(pieces).toEqual(["a\u2028", "b"]);
    expect(next.value).toEqual({ text: "a\u2028b" });
  });

  it("throws a stream's error, and also where a stream just ends", async () => {
    const failed = 'data: {"text":"a"}\n\nevent: error\ndata: {"error":"model_error","message":"m"}\n\n';
    const read = async (body: string) => {
      for await (const _ of client(answering(body)).stream("p"));
    };
    await expect(read(failed)).rejects.toMatchObject({ status: 200, body: { error: "model_error" } });
    await expect(read('data: {"text":"a"}\n\n')).rejects.toThrow("ended before");
  });

  it("throws what the server answers instead of a result", async () => {
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
