/** One message of a conversation. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** A template's text, and what it may use besides the messages. */
export interface TemplateSource {
  readonly source: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

/** What a template makes of messages; or why it makes nothing, and whether it says so itself. */
export type Rendering = { readonly text: string } | { readonly why: string; readonly refused: boolean };
