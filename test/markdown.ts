/** Returns a page's text without fenced code blocks and, if requested, without inline `code`. */
export function withoutCode(page: string, inline = false): string {
  const prose = page.replace(/^ {0,3}(`{3,}).*\n[\s\S]*?^ {0,3}\1`*$/gm, "");
  return inline ? prose.replace(/`[^`\n]*`/g, "") : prose;
}

/** Returns a heading's anchor on GitHub: lower case, without punctuation, with hyphens for spaces. */
const slugOf = (heading: string): string =>
  heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

/** Returns all anchors of a page: of its headings and of `<a id="…">`. */
export function anchorsOf(page: string): ReadonlySet<string> {
  const prose = withoutCode(page);
  const anchors = new Set(Array.from(prose.matchAll(/<a id="([^"]+)">/g), ([, id]) => id!));
  const seen = new Map<string, number>();
  for (const [, heading] of prose.matchAll(/^#{1,6} (.+)$/gm)) {
    const slug = slugOf(heading!);
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    anchors.add(times === 0 ? slug : `${slug}-${times}`);
  }
  return anchors;
}

/** Returns the addresses of a page's links and pictures. */
export const linksOf = (page: string): string[] =>
  Array.from(withoutCode(page, true).matchAll(/\]\(\s*<?([^)\s>]+)/g), ([, address]) => address!);

/** Returns the paths from the root that a page names in `code`, except patterns and placeholders. */
export const pathsOf = (page: string, folders: readonly string[]): string[] =>
  Array.from(withoutCode(page).matchAll(/`([\w.-]+\/[^`\s]*)`/g), ([, path]) => path!).filter(
    (path) => folders.includes(path.split("/", 1)[0]!) && !/[*…<{(:,]|DATE|FILE|DIR|FOLDER|NAME/.test(path),
  );
