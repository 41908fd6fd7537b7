import { ResonantError } from "../../../common/errors.ts";

/**
 * The URL of a folder, with a slash at its end; relative URLs start from the page's own, as in `fetch`.
 * @throws ResonantError `invalid_argument` if it is not a URL
 */
export function folderUrl(from: string | URL): URL {
  const url = parsed(from);
  if (!url) {
    throw new ResonantError("invalid_argument", "it is not the URL of a folder", {
      where: `${from}`,
      fix: "Give a whole URL, or a path from this page, without a user and password",
    });
  }
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  url.hash = "";
  return url;
}

/** The URL of a file in a folder; `file` may also be a whole URL. The folder's query is used for its files too. */
export function fileUrl(folder: URL, file: string): string {
  const url = new URL(file, folder);
  if (url.origin === folder.origin && url.search === "") url.search = folder.search;
  return url.href;
}

/** Relative to the base of the page or worker: a document's base may differ from its location. */
function parsed(from: string | URL): URL | undefined {
  try {
    return new URL(new Request(from).url);
  } catch {
    return undefined;
  }
}
