import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { ResonantError } from "../../../common/errors.ts";
import { type Proxies, proxiesOf } from "./proxy.ts";

/** A hub's address, its access token, and where its files are kept. */
export interface HubSettings {
  /** The hub's address, without a slash at its end. */
  readonly endpoint: string;
  /** The folder of all repositories, an absolute path. */
  readonly cache: string;
  readonly token: string | undefined;
  /** Whether network requests are forbidden. */
  readonly offline: boolean;
  readonly proxies: Proxies;
  /** Whether snapshots may link to blobs. */
  readonly symlinks: boolean;
}

/** Variables by name. Not `NodeJS.ProcessEnv`: the library's declarations then need no types of Node. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the variables of `huggingface_hub` in Python: `HF_ENDPOINT`, `HF_HUB_CACHE` (or `HUGGINGFACE_HUB_CACHE`),
 * `HF_HOME`, `XDG_CACHE_HOME`, `HF_TOKEN` (or `HUGGING_FACE_HUB_TOKEN`, or the file at `HF_TOKEN_PATH`, else
 * `$HF_HOME/token`), `HF_HUB_DISABLE_IMPLICIT_TOKEN`, `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE` and
 * `HF_HUB_DISABLE_SYMLINKS`; and the proxies (see {@link proxiesOf}).
 * @throws ResonantError `invalid_argument` for an impossible address or token
 */
export async function hubSettings(env: Environment = process.env): Promise<HubSettings> {
  const user = env.HOME || homedir();
  const home = env.HF_HOME || join(env.XDG_CACHE_HOME || join(user, ".cache"), "huggingface");
  const at = (path: string): string => resolve(expand(path, user, env));
  return {
    endpoint: endpointOf(env.HF_ENDPOINT || "https://huggingface.co"),
    cache: at(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(home, "hub")),
    token: isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)
      ? undefined
      : await tokenOf(env, at(env.HF_TOKEN_PATH || join(home, "token"))),
    offline: isTrue(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE),
    proxies: proxiesOf(env),
    symlinks: !isTrue(env.HF_HUB_DISABLE_SYMLINKS),
  };
}

const isTrue = (value: string | undefined): boolean => /^(?:1|on|yes|true)$/i.test(value ?? "");

/** Expands a leading `~`, and `$NAME` or `${NAME}` of variables that are set. */
function expand(path: string, user: string, env: Environment): string {
  return path
    .replace(/^~(?=$|[\\/])/, () => user)
    .replace(/\$(?:(\w+)|\{(\w+)\})/g, (all, bare, braced) => env[bare ?? braced] ?? all);
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const sound = url && /^https?:$/.test(url.protocol) && !url.username && !url.search && !url.hash;
  if (sound) return url.href.replace(/\/+$/, "");
  throw new ResonantError("invalid_argument", "this is not the address of a hub", {
    where: "HF_ENDPOINT",
    fix: "Set it to an address such as https://huggingface.co, without name, password or query",
  });
}

async function tokenOf(env: Environment, file: string): Promise<string | undefined> {
  const given = env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN;
  const token = (given ?? (await readFile(file, "utf8").catch(() => ""))).trim();
  if (token === "") return undefined;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  // The token itself is never printed.
  throw new ResonantError("invalid_argument", "the token has characters that are not allowed in a token", {
    where: given ? "HF_TOKEN" : file,
  });
}
