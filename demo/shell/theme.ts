import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const KEY = "resonant-theme";
const themes: readonly Theme[] = ["system", "light", "dark"];

/** The theme chosen in this visit or an earlier one. */
export const theme = signal<Theme>(themes.find((each) => each === remembered()) ?? "system");

effect(() => {
  const { dataset } = document.documentElement;
  if (theme.value === "system") delete dataset.theme;
  else dataset.theme = theme.value;
  try {
    localStorage.setItem(KEY, theme.value);
  } catch {} // storage may be forbidden: the choice then lasts as long as the page
});

export function nextTheme(): void {
  theme.value = themes[(themes.indexOf(theme.value) + 1) % themes.length]!;
}

function remembered(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
