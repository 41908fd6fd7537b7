/** Two waves, as in favicon.svg. */
export const Logo = () => (
  <svg viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="7" fill="#173647" />
    <g fill="none" stroke-width="2.5" stroke-linecap="round">
      <path stroke="#62d5c6" d="M4 16c4-14 8-14 12 0s8 14 12 0" />
      <path stroke="#fff" d="M4 16c4 8 8 8 12 0s8-8 12 0" />
    </g>
  </svg>
);
