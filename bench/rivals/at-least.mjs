import { InvalidArgumentError } from "commander";

/** A flag's whole number from `least` on. */
export const atLeast = (least) => (text) => {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new InvalidArgumentError(`It must be a whole number from ${least} on.`);
};
