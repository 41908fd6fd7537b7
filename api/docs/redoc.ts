// Initialises /redoc. It is a file of its own since the page's Content-Security-Policy forbids inline scripts.
interface RedocOptions {
  theme: { spacing: Record<string, number>; typography: Record<string, unknown> };
}

declare const Redoc: {
  init(url: string, options: RedocOptions, element: HTMLElement | null): void;
};

// ReDoc's default fonts, Montserrat and Roboto, would be loaded from another host.
const sans = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
const mono = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace';

Redoc.init(
  document.body.dataset.openapi ?? "",
  {
    theme: {
      spacing: { sectionVertical: 20 },
      typography: { fontFamily: sans, headings: { fontFamily: sans }, code: { fontFamily: mono } },
    },
  },
  document.getElementById("page"),
);

export {};
