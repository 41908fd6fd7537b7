import { expect, it } from "vitest";
import { ResonantError } from "../../common/errors.ts";
import { confidenceInDigits, confidenceInWords, count, decimal, duration, faultOf } from "./words.ts";

const refused = (problem: string, option?: string): ResonantError =>
  new ResonantError("invalid_argument", problem, option === undefined ? {} : { option, fix: "Use pvm" });

it.each([
  [refused("is empty", "context"), { field: "context", message: "The text is empty. Use pvm." }],
  [refused("is empty", "needle"), { field: "needle", message: "The needle is empty. Use pvm." }],
  [
    refused('the model has no memory for "plm"', "mode"),
    { field: "mode", message: 'The model has no memory for "plm". Use pvm.' },
  ],
  [
    refused("0 is no whole number above 0", "topK"),
    { field: "topK", message: "0 is no whole number above 0. Use pvm." },
  ],
  [refused("the device is lost"), { field: undefined, message: "the device is lost" }],
  ["odd", { field: undefined, message: "odd" }],
])("an error stands at the field that it names: %s", (error, fault) => {
  expect(faultOf(error)).toEqual(fault);
});

it("numbers are told so that only equal tokens have 1", () => {
  expect([1, 0.99996, 0.5, 0.0006].map(decimal)).toEqual(["1", "0.999", "0.500", "0.000"]);
  expect([0.0006, 0.25].map(confidenceInDigits)).toEqual(["below 0.001", "0.250"]);
  expect([1, 2000].map((value) => count(value, "character"))).toEqual(["1 character", "2,000 characters"]);
  expect([999.4, 1234].map(duration)).toEqual(["999 ms", "1.2 s"]);
});

it("more confidence is never told as less", () => {
  const told = [0, 0.1, 0.5, 0.9, 1].map(confidenceInWords);
  expect(new Set(told).size).toBe(4);
  expect(told[4]).toBe(told[3]);
});
