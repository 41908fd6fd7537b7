/** Lets the event loop turn. */
export const macrotask = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
