/** A number that a person typed. @throws RangeError, with a sentence for them, if it is none from `least` to `most` */
export function parseNumber(text: string, least: number, most: number, whole = false): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= least && value <= most && (!whole || Number.isInteger(value)))
    return value;
  throw new RangeError(`It must be a ${whole ? "whole " : ""}number from ${least} to ${most}.`);
}
