/** Returns the next random number in [0, 1). */
export type Random = () => number;

/** Creates a generator (mulberry32); the same seed gives the same numbers. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Returns a random integer in [0, bound). */
export const below = (random: Random, bound: number): number => Math.floor(random() * bound);

/** Returns a random element of a list, which must not be empty. */
export const oneOf = <T>(random: Random, list: ArrayLike<T>): T => list[below(random, list.length)]!;

/** Returns `count` different integers in [0, bound), in no particular order (Floyd's sampling). */
export function some(random: Random, count: number, bound: number): Set<number> {
  const chosen = new Set<number>();
  for (let top = Math.max(0, bound - count); top < bound; top++) {
    const pick = below(random, top + 1);
    chosen.add(chosen.has(pick) ? top : pick);
  }
  return chosen;
}
