/**
 * A text that can do nothing to a terminal but appear: control characters, and those that turn the direction of writing, become
 * U+FFFD. Line feeds and tabs stay; a carriage return before a line feed is left out.
 */
export const safeText = (text: string): string =>
  text
    .replace(/\r\n/g, "\n")
    .replace(/[^\P{Cc}\n\t]|[\p{Surrogate}\p{Bidi_Control}\u2028\u2029]/gu, "\ufffd");
