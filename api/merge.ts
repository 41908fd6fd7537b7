/**
 * Yields the items of several generators in the order in which they arrive, each with its generator's index. When the
 * reader stops or a generator fails, this ends all of them, and aborts `ended` so that none is left waiting.
 */
export async function* merge<T>(
  sources: readonly AsyncGenerator<T, void, undefined>[],
  ended: AbortController,
): AsyncGenerator<{ readonly index: number; readonly item: T }, void, undefined> {
  const step = async (index: number) => ({ index, result: await sources[index]!.next() });
  const steps = new Map(sources.map((_, index) => [index, step(index)]));
  try {
    while (steps.size > 0) {
      const { index, result } = await Promise.race(steps.values());
      if (result.done) {
        steps.delete(index);
        continue;
      }
      steps.set(index, step(index));
      yield { index, item: result.value };
    }
  } finally {
    ended.abort(new Error("the other generations of this request have ended"));
    for (const pending of steps.values()) pending.catch(() => {});
    await Promise.allSettled(sources.map((source) => source.return()));
  }
}
