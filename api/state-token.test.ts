import { afterEach, expect, it, vi } from "vitest";
import { ApiError } from "./errors.ts";
import { StateTokens } from "./state-token.ts";

const SECRET = "sixteen characters at least";
const STATE = Uint8Array.from({ length: 300 }, (_, i) => i);

afterEach(() => {
  vi.useRealTimers();
});

/** The message with which `work` is refused. */
function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    expect([error.kind, error.details?.field]).toEqual(["conflict", "state"]);
    return error.message;
  }
  throw new Error("it was accepted");
}

it("gives a state back to its owner, on every server with the secret", () => {
  const token = new StateTokens({ secret: SECRET, ttl: 0 }).sign(STATE, "a");
  expect(token).toMatch(/^[\w-]+$/);
  expect(new StateTokens({ secret: SECRET, ttl: 5 }).verify(token, "a")).toEqual(STATE);
});

it("names the secret that signed a state, without telling it", () => {
  const token = new StateTokens({ secret: SECRET, ttl: 0 }).sign(STATE, "a");
  const other = new StateTokens({ secret: `${SECRET}!`, ttl: 0 });
  expect(refusal(() => other.verify(token, "a"))).toMatch(
    /^state was signed with another secret \(kid [0-9a-f]{32}, here [0-9a-f]{32}\)$/,
  );
  expect(Buffer.from(token, "base64url").includes(SECRET)).toBe(false);
  expect(refusal(() => new StateTokens({ secret: undefined, ttl: 0 }).verify(token, "a"))).toContain(
    "secret",
  );
});

it("refuses a state that was given to another key", () => {
  const tokens = new StateTokens({ secret: SECRET, ttl: 0 });
  expect(refusal(() => tokens.verify(tokens.sign(STATE, "a"), "b"))).toBe(
    "state was given to another API key",
  );
});

it("refuses a state after its time, and never one without", () => {
  vi.useFakeTimers({ now: Date.UTC(2026, 0, 1) });
  const [short, endless] = [10, 0].map((ttl) => new StateTokens({ secret: SECRET, ttl }));
  const [ending, lasting] = [short!.sign(STATE, "a"), endless!.sign(STATE, "a")];
  vi.advanceTimersByTime(10_000);
  expect(short!.verify(ending, "a")).toEqual(STATE);
  vi.advanceTimersByTime(1);
  expect(refusal(() => endless!.verify(ending, "a"))).toBe("state ended at 2026-01-01T00:00:10.000Z");
  vi.advanceTimersByTime(2 ** 40);
  expect(short!.verify(lasting, "a")).toEqual(STATE);
});

it("refuses a token with any byte changed, cut or added", () => {
  const tokens = new StateTokens({ secret: SECRET, ttl: 60 });
  const token = Buffer.from(tokens.sign(STATE, "a"), "base64url");
  for (let i = 0; i < token.length; i++) {
    const changed = Buffer.from(token);
    changed[i]! ^= 1;
    refusal(() => tokens.verify(changed.toString("base64url"), "a"));
  }
  for (const bytes of [token.subarray(1), token.subarray(0, -1), Buffer.concat([token, Buffer.of(0)])]) {
    refusal(() => tokens.verify(bytes.toString("base64url"), "a"));
  }
  refusal(() => tokens.verify(`${token.toString("base64url")}=`, "a"));
});

it("signs a file apart from it", () => {
  const tokens = new StateTokens({ secret: SECRET, ttl: 0 });
  const signature = tokens.signatureOf(STATE, "a");
  expect(tokens.sign(STATE, "a").length).toBeGreaterThan(signature.length + STATE.length);
  tokens.verifyFile(signature, STATE, "a", "state");
  refusal(() => tokens.verifyFile(signature, STATE.subarray(1), "a", "state"));
  refusal(() => tokens.verifyFile("", STATE, "a", "state"));
});
