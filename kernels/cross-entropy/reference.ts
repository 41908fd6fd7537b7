/** `−ln softmax(logits)[target]` of each row, in nats: `logits [rows, vocabulary]`, the result `[rows]`. */
export function crossEntropyReference(
  logits: ArrayLike<number>,
  targets: ArrayLike<number>,
  vocabulary: number,
): Float64Array {
  return Float64Array.from(targets, (target, row) => {
    const own = Array.from({ length: vocabulary }, (_, v) => logits[row * vocabulary + v]!);
    const peak = Math.max(...own);
    const sum = own.reduce((total, logit) => total + Math.exp(logit - peak), 0);
    return peak + Math.log(sum) - own[target]!;
  });
}
