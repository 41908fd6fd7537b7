import { readFile } from "node:fs/promises";
import { parseAllDocuments } from "yaml";

export interface Probe {
  httpGet: { path: string; port: string };
  exec?: { command: string[] };
  periodSeconds: number;
  failureThreshold: number;
}

export interface Variable {
  name: string;
  value?: string;
  valueFrom?: { secretKeyRef: { name: string; key: string; optional?: boolean } };
}

export interface Container {
  image: string;
  args: string[];
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

/** The fields of a Kubernetes resource that tests read; which ones exist depends on the kind. */
export interface Resource {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
  data: Record<string, string>;
  spec: {
    replicas?: number;
    serviceName: string;
    selector: Record<string, unknown>;
    ports: { port: number; targetPort: string }[];
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
    volumeClaimTemplates: { metadata: { name: string } }[];
    podSelector: Record<string, unknown>;
    ingress: { from: { podSelector: Record<string, unknown> }[]; ports: { port: string }[] }[];
    scaleTargetRef: { name: string; kind?: string };
    minReplicaCount: number;
    maxReplicaCount: number;
    advanced: {
      horizontalPodAutoscalerConfig: {
        behavior: {
          scaleDown: {
            stabilizationWindowSeconds: number;
            policies: { type: string; value: number; periodSeconds: number }[];
          };
        };
      };
    };
    triggers: { type: string; metricType: string; metadata: Record<string, string> }[];
  };
}

/** Returns the resources of a file in `deploy/`. */
export async function readManifests(name: string): Promise<Resource[]> {
  const text = await readFile(new URL(`../deploy/${name}`, import.meta.url), "utf8");
  return parseAllDocuments(text).map((document) => {
    if ("errors" in document && document.errors.length > 0) throw document.errors[0];
    return document.toJS() as Resource;
  });
}

/** Returns the only resource of a kind. @throws Error if there is none, or more than one */
export function oneOf(resources: readonly Resource[], kind: string): Resource {
  const found = resources.filter((one) => one.kind === kind);
  if (found.length !== 1) throw new Error(`${found.length} of kind ${kind}, not one`);
  return found[0]!;
}

/** Replaces `$(NAME)` by the value of NAME, as Kubernetes does. @throws Error if a name has no value */
export const expanded = (text: string, values: Readonly<Record<string, string>>): string =>
  text.replace(/\$\((\w+)\)/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`${name} has no value`);
    return value;
  });
