import { nextTheme, type Theme, theme } from "./theme.ts";

const NAMES: Record<Theme, string> = {
  system: "Colours: as the system has them",
  light: "Colours: light",
  dark: "Colours: dark",
};

/** Switches between the system's colours, light and dark. */
export const ThemeButton = () => (
  <button
    type="button"
    class="plain theme"
    aria-label={NAMES[theme.value]}
    title={NAMES[theme.value]}
    onClick={nextTheme}
  >
    <svg viewBox="0 0 24 24" aria-hidden="true" fill="currentColor" stroke="currentColor" stroke-width="2">
      <circle cx="12" cy="12" r="9" fill={theme.value === "dark" ? "currentColor" : "none"} />
      {theme.value === "system" && <path d="M12 3a9 9 0 0 1 0 18z" />}
    </svg>
  </button>
);
