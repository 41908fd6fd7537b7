import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { swiftShaderOf } from "./chromium.mjs";

/**
 * Starts an engine of `engines/` in Node. Uses Chromium's own software driver if Chromium's pages use it.
 * @param chromium the result of `openChromium`, or `{ failure }`
 * @param executable the path of that Chromium
 */
export function startInNode(module, opening, chromium, executable) {
  const driver = chromium.softwareDriver && swiftShaderOf(executable);
  const env = driver ? { VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver } : {};
  const engines = new URL("./engines/", import.meta.url);
  const args = [fileURLToPath(new URL("child.mjs", engines)), new URL(module, engines).href];
  return startEngine(process.execPath, [...args, JSON.stringify(opening)], env);
}

/**
 * Starts a program that speaks the line protocol of `engines/child.mjs`.
 * @returns {Promise<import("./engines/engine.d.ts").Engine & { close(): Promise<void> }>}
 * @throws Error with the program's message or its exit status
 */
export async function startEngine(command, args, env = {}) {
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const failed = new Promise((_, reject) => child.once("error", reject));
  failed.catch(() => {});
  child.stdin.on("error", () => {});
  let errors = "";
  child.stderr.on("data", (data) => {
    errors = `${errors}${data}`.slice(-2000);
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    for (;;) {
      const { value, done } = await Promise.race([lines.next(), failed]);
      if (done) throw new Error(lastLine(errors) || `it ended with ${await ended}`);
      const answer = value.startsWith('{"answer":') && JSON.parse(value).answer;
      if (answer?.error) throw new Error(answer.error);
      if (answer) return answer;
    }
  };
  const close = async () => {
    child.stdin.end();
    child.kill();
    await Promise.race([ended, failed.catch(() => {})]);
  };
  try {
    const { version, adapter } = await next();
    const run = (prompt, tokens) => {
      child.stdin.write(`${JSON.stringify({ prompt, tokens })}\n`);
      return next();
    };
    return { version, adapter, run, close };
  } catch (error) {
    await close();
    throw error;
  }
}

const lastLine = (text) => text.trim().split("\n").at(-1);
