import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ModelFiles } from "../engine/model.ts";
import { byteTokenizer, goldenModelFiles, readJson, scriptedModelFiles, writeModel } from "./models.ts";

const chatConfig = readJson("tokenizers/chat/tokenizer_config.json") as { chat_template: string };

/** The fixture's template: the system message first; each message has `<|role|>`, a line of text, an end-of-text token and a line end. */
export const CHAT_TEMPLATE = chatConfig.chat_template;

const bytesWith = (chat_template: string) => ({
  ...(byteTokenizer().tokenizerConfig as object),
  chat_template,
});

/** A small model with random weights whose tokens are bytes, and a chat template. */
export const chatModelFiles = async (template = CHAT_TEMPLATE): Promise<ModelFiles> => ({
  ...(await goldenModelFiles("native_long")),
  name: "chat",
  tokenizerConfig: bytesWith(template),
});

/** Writes the same model as a folder that the command line can load. */
export async function writeChatModel(folder: string, template = CHAT_TEMPLATE): Promise<void> {
  await writeModel(folder);
  await writeFile(join(folder, "tokenizer_config.json"), JSON.stringify(bytesWith(template)));
}

/** The fixture's Llama-style tokens of "Yes, the pendulum", with `<unk>`, which is not text, among them. */
export const SAID = [92, 283, 362, 0, 263, 356];

/** Creates a model with the fixture's Llama-style tokenizer that repeats {@link SAID} and `</s>` after a line end. */
export function scriptedChatFiles(): ModelFiles {
  const [newline, eos] = [13, 2];
  return {
    ...scriptedModelFiles([newline, ...SAID, eos], { vocab_size: 398 }),
    tokenizer: readJson("tokenizers/chat/tokenizer.json"),
    tokenizerConfig: chatConfig,
  };
}
