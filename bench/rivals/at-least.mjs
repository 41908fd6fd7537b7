import { InvalidArgumentError } from "commander";

/** Returns a parser for a flag whose value is an integer of at least `least`. */
export const atLeast = (least) => (text) => {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new InvalidArgumentError(`It must be a whole number of at least ${least}.`);
};
