import { expect, it } from "vitest";
import { ResonantError } from "../../common/errors.ts";
import { OPTION_NAMES } from "../write/sampling.ts";
import { failureOf, messageOn } from "./errors.ts";

it.each([
  ["topK", "Top k: is too large. Lower it"],
  ["prompt", "The text: is too large. Lower it"],
  ["slots", "slots: is too large. Lower it"],
])("a failure that is about %s is told with the page's name for it", (option, message) => {
  const error = new ResonantError("invalid_argument", "is too large", { option, fix: "Lower it" });
  expect(messageOn(failureOf(error), OPTION_NAMES)).toBe(message);
});

it("whatever was thrown has a message and a code", () => {
  expect(failureOf("odd")).toMatchObject({ message: "odd", code: "unexpected", problem: "odd" });
  expect(failureOf(new TypeError("bad"))).toMatchObject({ message: "bad", option: undefined });
});
