import { expect, it } from "vitest";
import { createLogger } from "./log.ts";

it("keeps what a message quotes from writing lines of its own, or colours", () => {
  const lines: string[] = [];
  const log = createLogger({ logFormat: "text", logLevel: "info" }, { write: (line) => lines.push(line) });
  log.info("GET /a\n2026-01-01 00:00:00 - INFO - forged\u001b[31m\u2028é - Status: 404");
  expect(lines).toEqual([
    expect.stringMatching(
      /^[\d: -]{19} - INFO - GET \/a%0A2026-01-01 00:00:00 - INFO - forged%1B\[31m%E2%80%A8é - Status: 404\n$/,
    ),
  ]);
});
