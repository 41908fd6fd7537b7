import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

/** The width of an element in CSS pixels, as it changes; 0 at first. */
export function useWidth(element: RefObject<HTMLElement | null>): number {
  const width = useSignal(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      width.value = entry!.contentRect.width;
    });
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, []);
  return width.value;
}

/** Whether the page is dark now: canvases cannot take `light-dark()` colours. */
export function useDark(): boolean {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const read = (): boolean =>
    root.dataset.theme === undefined || root.dataset.theme === ""
      ? system.matches
      : root.dataset.theme === "dark";
  const dark = useSignal(read());
  useEffect(() => {
    const update = (): void => {
      dark.value = read();
    };
    const observer = new MutationObserver(update);
    observer.observe(root, { attributeFilter: ["data-theme"] });
    system.addEventListener("change", update);
    return () => {
      observer.disconnect();
      system.removeEventListener("change", update);
    };
  }, []);
  return dark.value;
}
