/**
 * The cosines of `window` with `segment`, both `[2, D]` (PVM's, PLM's, each of length 1): the inner product of the first,
 * and the modulus of the complex inner product of the second, read as pairs.
 */
export function segmentCosineReference(
  window: ArrayLike<number>,
  segment: ArrayLike<number>,
): [pvm: number, plm: number] {
  const size = window.length / 2;
  const half = Math.floor(size / 2);
  let pvm = 0;
  for (let d = 0; d < size; d++) pvm += window[d]! * segment[d]!;
  let [re, im] = [0, 0];
  for (let j = size; j < size + half; j++) {
    re += window[j]! * segment[j]! + window[j + half]! * segment[j + half]!;
    im += window[j + half]! * segment[j]! - window[j]! * segment[j + half]!;
  }
  return [pvm, Math.hypot(re, im)];
}
