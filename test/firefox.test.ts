import { afterAll, afterEach, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { collect } from "../engine/generate.ts";
import { Model } from "../engine/model.ts";
import type { FileServer } from "../engine/platform/browser/testing/file-server.ts";
import { defaultModelFolder, openModelFolder } from "../engine/platform/node/files.ts";
import { retrieve } from "../engine/retrieval/retrieval.ts";
import { type Answers, answersOf } from "./answers.ts";
import { answersInPage, serveAnswersPage } from "./answers-page.ts";
import { resonant } from "./cli.ts";
import { type Firefox, lackingFirefox, launchFirefox } from "./firefox.ts";
import { testGpu } from "./gpu.ts";
import { startServer, type TestServer } from "./server.ts";

const PROMPT = "ROMEO:";
const TOKENS = 60;

const shipped = await defaultModelFolder();
let files: FileServer;
let server: TestServer;
let firefox: Firefox;

beforeAll(async () => {
  if (lackingFirefox) return;
  [files, server, firefox] = await Promise.all([serveAnswersPage(), startServer(undefined), launchFirefox()]);
});

afterAll(async () => {
  await Promise.all([firefox?.close(), server?.stop(), files?.close()]);
});

afterEach(() => {
  expect(firefox?.errors.splice(0) ?? []).toEqual([]);
});

/** Skips a test unless Node and Firefox compute on the same software driver. The tab shows a page of this machine. */
async function sameDriver(skip: TestContext["skip"]): Promise<void> {
  const software = await firefox.evaluate(async () => {
    const adapter = await navigator.gpu?.requestAdapter();
    return adapter ? adapter.info.isFallbackAdapter : null;
  });
  if (software === null) skip("Firefox finds no adapter: it needs libvulkan1 and a driver of the system");
  const { name } = await testGpu();
  // Firefox hides its adapter's name. The only software driver that it can have is the system's llvmpipe.
  if (!software || !/llvmpipe/.test(name))
    skip(`Node computes on ${name}, Firefox on ${software ? "software" : "a GPU"}: their bits may differ`);
}

async function answersInNode(): Promise<Answers> {
  const opened = await openModelFolder(shipped);
  const model = await Model.load(await testGpu(), opened, { format: "f16", slots: 4 });
  await opened.close();
  return answersOf({ collect, retrieve }, model);
}

describe(`Firefox, whose WebGPU is wgpu${lackingFirefox}`, () => {
  it.skipIf(lackingFirefox !== "")(
    "gives Node's texts, metrics, log-probabilities and search results to the bit",
    { timeout: 900_000 },
    async ({ skip }) => {
      await firefox.open(`${files.origin}/index.html`);
      await sameDriver(skip);
      const inFirefox = await firefox.evaluate(answersInPage);
      const inNode = await answersInNode();
      console.log(`Node:    ${JSON.stringify(inNode.text)}\nFirefox: ${JSON.stringify(inFirefox.text)}`);
      expect(inFirefox).toEqual(inNode);
      expect(inNode.logprobs.length).toBeGreaterThan(100);
    },
  );

  it.skipIf(lackingFirefox !== "")(
    "writes in the page, with a seed, what the command line writes",
    { timeout: 900_000 },
    async ({ skip }) => {
      await firefox.open(`${server.url}/demo/`);
      await sameDriver(skip);
      const inFirefox = await firefox.evaluate(writeInPage, PROMPT, TOKENS);
      const { out, err, code } = await resonant([
        "generate",
        PROMPT,
        "-n",
        `${TOKENS}`,
        "--seed",
        "1",
        "--json",
      ]);
      expect([code, err]).toEqual([0, ""]);
      const { text } = JSON.parse(out) as { text: string };
      console.log(`Node:    ${JSON.stringify(PROMPT + text)}\nFirefox: ${JSON.stringify(inFirefox)}`);
      expect(text.length).toBeGreaterThan(40);
      expect(inFirefox).toBe(PROMPT + text);
    },
  );
});

/** In the page: sets the seed to 1 and the number of tokens, writes, and returns the whole text once it has ended. */
async function writeInPage(prompt: string, tokens: number): Promise<string> {
  const until = async <T>(find: () => T | null | undefined | false): Promise<T> => {
    for (;;) {
      const failure = document.querySelector("[role=alert]")?.textContent;
      if (failure) throw new Error(failure);
      const found = find();
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const labelled = (text: string): HTMLInputElement => {
    const labels = [...document.querySelectorAll("label")];
    return labels.find((label) => label.textContent === text)!.control as HTMLInputElement;
  };
  const type = (into: HTMLInputElement | HTMLTextAreaElement, text: string): void => {
    into.value = text;
    for (const name of ["input", "change"]) into.dispatchEvent(new Event(name, { bubbles: true }));
  };
  const session = await until(() => document.querySelector("article.session"));
  type(labelled("Seed"), "1");
  type(labelled("Most tokens"), `${tokens}`);
  type(session.querySelector("textarea")!, prompt);
  const button = await until(() => session.querySelector<HTMLButtonElement>("button[type=submit]:enabled"));
  button.click();
  await until(() => session.querySelector("[role=status]")?.textContent?.includes("tokens"));
  return session.querySelector(".transcript p")!.textContent!;
}
