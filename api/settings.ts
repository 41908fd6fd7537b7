/** How a server behaves; `resonant serve` has a flag and an environment variable for each. */
export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly corsOrigins: readonly string[];
  readonly maxBatchSize: number;
  readonly maxQueueSize: number;
  readonly maxTokensLimit: number;
  readonly maxPromptChars: number;
  readonly maxContextChars: number;
  readonly maxChoices: number;
  readonly prefixCacheBytes: number;
  readonly maxBodyBytes?: number;
  readonly apiKeys: readonly string[];
  readonly stateSecret?: string;
  /** `memory`, or the URL of a Redis. */
  readonly sessionStore: string;
  readonly sessionTtl: number;
  readonly maxSessions: number;
  readonly rateLimit: number;
  readonly rateLimitBurst: number;
  readonly trustProxy: number;
  readonly logFormat: "text" | "json";
  readonly logLevel: "debug" | "info" | "warn" | "error" | "silent";
  readonly drainTimeout: number;
  readonly idleTimeout: number;
  readonly headersTimeout: number;
  readonly requestTimeout: number;
  readonly keepAliveTimeout: number;
  readonly heartbeatTimeout: number;
}
