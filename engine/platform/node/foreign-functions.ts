/** What `bun:ffi` and `Deno` have in common: they load a library together with some of its functions, and keep it loaded. */
export interface ForeignFunctions<Signature> {
  dlopen(
    library: string,
    functions: Record<string, Signature>,
  ): { readonly symbols: Record<string, (...values: unknown[]) => unknown> };
}

/** Bun's foreign functions; undefined in other runtimes. A name without a path is also looked for in the working folder. */
export function bunFunctions(): ForeignFunctions<{ args: string[]; returns: string }> | undefined {
  if (process.versions.bun === undefined) return undefined;
  const { getBuiltinModule } = process as { getBuiltinModule?: (name: string) => unknown };
  return getBuiltinModule?.("bun:ffi") as ReturnType<typeof bunFunctions>;
}

/** Deno's foreign functions; undefined in other runtimes. */
export function denoFunctions(): ForeignFunctions<{ parameters: string[]; result: string }> | undefined {
  return (globalThis as { Deno?: ReturnType<typeof denoFunctions> }).Deno;
}
