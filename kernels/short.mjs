/**
 * WGSL without its comments, indentation and empty lines, for what is shipped; but for the comments that `unroll.ts` reads.
 * @param {string} wgsl
 */
export const short = (wgsl) =>
  wgsl
    .replace(/\/\/(?! (?:for \w+ <|end$)).*$/gm, "")
    .replace(/^\s+|[ \t]+$/gm, "")
    .trim();
