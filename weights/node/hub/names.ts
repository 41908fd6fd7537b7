import { ResonantError } from "../../../common/errors.ts";
import { printable } from "../../refuse.ts";

/** The name of a commit: every revision leads to one, and it names a folder in `snapshots/`. */
export const COMMIT = /^[0-9a-f]{40}$/;

const OWNER_OR_NAME = /^(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?$/;
/** First parts of an address that are not owners of models. */
const NOT_OWNERS = new Set(["api", "buckets", "datasets", "kernels", "models", "spaces"]);
/** One part of a path that means the same file on every system. */
const PART = /^(?!\.{1,2}$)[\w.+=@-]{1,200}(?<!\.)$/;
const WINDOWS_DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/** Whether this is the name of a repository: `owner/name`, or only `name` for the few models that have no owner. */
export function isRepo(repo: string): boolean {
  const parts = repo.split("/");
  return (
    parts.length <= 2 &&
    !(parts.length === 2 && NOT_OWNERS.has(parts[0] ?? "")) &&
    parts.every((part) => OWNER_OR_NAME.test(part)) &&
    !repo.endsWith(".git")
  );
}

/** @throws ResonantError `invalid_argument` unless this is `owner/name`, or only a name */
export function checkRepo(repo: string): void {
  if (isRepo(repo)) return;
  throw new ResonantError("invalid_argument", "this is not the name of a model on a hub", {
    where: quoted(repo),
    fix: "Write owner/name: letters, digits, and within a part also - _ . but neither -- nor ..",
  });
}

/** @throws ResonantError `invalid_argument` unless this can name a branch, a tag or a commit */
export function checkRevision(revision: string): void {
  if (isPath(revision)) return;
  throw new ResonantError("invalid_argument", "this is not the name of a branch, a tag or a commit", {
    where: quoted(revision),
  });
}

/** @throws ResonantError `invalid_argument` unless this is a relative path that cannot leave the repository */
export function checkFile(file: string): void {
  if (isPath(file)) return;
  throw new ResonantError("invalid_argument", "this is not the name of a file in a repository", {
    where: quoted(file),
    fix: "Write a path without .. or empty parts, of letters, digits and - _ . + = @, separated by /",
  });
}

/** Whether a name is that of a file, without a path. */
export const isPlainFile = (name: string): boolean => isPath(name) && !name.includes("/");

function isPath(path: string): boolean {
  return path.split("/").every((part) => PART.test(part) && !WINDOWS_DEVICE.test(part));
}

const quoted = (name: string): string => JSON.stringify(printable(name));
