import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { generateCommand } from "./commands/generate.ts";
import { infoCommand } from "./commands/info.ts";
import { retrieveCommand } from "./commands/retrieve.ts";
import { serveCommand } from "./commands/serve.ts";
import { flagNames } from "./flag-names.ts";

/** A command with its flags read, but not run. */
function parsed(command: Command, ...args: string[]): Command {
  command.action(() => {}).exitOverride();
  new Command().addCommand(command).parse([command.name(), ...args], { from: "user" });
  return command;
}

describe("an option of the library", () => {
  it.each([
    ["topK", "--top-k"],
    ["maxTokens", "--max-tokens"],
    ["stopSequences[0]", "--stop"],
    ["placement", "--adapter-placement"],
    ["adapters", "--checkpoint"],
    ["prompt", "prompt"],
  ])("%s is %s of generate", (option, flag) => {
    expect(flagNames(parsed(generateCommand(), "x", "--stop", ""))(option)).toBe(flag);
  });

  it.each([
    ["topK", "--top-k", []],
    ["mode", "--mode", []],
    ["query", "--query", []],
    ["needle", "needle", []],
    ["context", "--context", ["--context", "x"]],
    ["context", "--file", ["--file", "x"]],
    ["context", "context", []],
  ])("%s is %s of retrieve %j", (option, flag, args) => {
    expect(flagNames(parsed(retrieveCommand(), "x", ...args))(option)).toBe(flag);
  });

  it("that several commands have is the flag of the one that runs", () => {
    expect(flagNames(parsed(infoCommand()))("slots")).toBe("--slots");
    expect(flagNames(parsed(serveCommand()))("slots")).toBe("--max-batch-size");
  });

  it("that was set by the environment is its variable", () => {
    process.env.MAX_BATCH_SIZE = "3";
    try {
      expect(flagNames(parsed(serveCommand()))("slots")).toBe("MAX_BATCH_SIZE");
      expect(flagNames(parsed(serveCommand(), "--max-batch-size", "4"))("slots")).toBe("--max-batch-size");
    } finally {
      delete process.env.MAX_BATCH_SIZE;
    }
  });
});
