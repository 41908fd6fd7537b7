// The initialisation of /docs, bundled into dist/docs: the pages' Content-Security-Policy allows no inline script.
interface SwaggerUiOptions {
  url: string;
  dom_id: string;
  deepLinking: boolean;
  displayRequestDuration: boolean;
  validatorUrl: null;
}

declare const SwaggerUIBundle: (options: SwaggerUiOptions) => unknown;

SwaggerUIBundle({
  url: document.body.dataset.openapi ?? "",
  dom_id: "#page",
  deepLinking: true,
  displayRequestDuration: true,
  // Else a badge would send the document's address to validator.swagger.io.
  validatorUrl: null,
});

export {};
