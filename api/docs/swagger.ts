// Initialises /docs. It is a file of its own since the page's Content-Security-Policy forbids inline scripts.
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
  // Without this, a badge sends the document's address to validator.swagger.io.
  validatorUrl: null,
});

export {};
