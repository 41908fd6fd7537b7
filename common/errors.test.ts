import { describe, expect, it } from "vitest";
import { ResonantError } from "./errors.ts";

describe("an error", () => {
  it("says where, what is wrong and how to mend it, and keeps the parts", () => {
    const error = new ResonantError("invalid_file", "it is cut off", {
      where: "a.pt",
      fix: "Fetch it again",
    });
    expect(error.message).toBe("a.pt: it is cut off. Fetch it again");
    expect(error).toMatchObject({ problem: "it is cut off", where: "a.pt", option: undefined });
    expect(error.fix).toBe("Fetch it again");
  });

  it("of an option is at that option", () => {
    const error = new ResonantError("invalid_argument", "is empty", { option: "stopSequences[1]" });
    expect(error.message).toBe("stopSequences[1]: is empty");
    expect(error).toMatchObject({ option: "stopSequences[1]", where: "stopSequences[1]" });
  });

  it("has another interface's names for options, in its place and in its advice, and is otherwise the same", () => {
    const cause = new Error("why");
    const error = new ResonantError("invalid_argument", "is too large", {
      option: "topK",
      fix: (name) => `Lower ${name("topK")}, or raise ${name("slots")}`,
      cause,
    });
    expect(error.message).toBe("topK: is too large. Lower topK, or raise slots");
    const renamed = error.renamed((option) => `--${option.toLowerCase()}`);
    expect(renamed.message).toBe("--topk: is too large. Lower --topk, or raise --slots");
    expect(renamed).toMatchObject({ code: "invalid_argument", option: "topK", where: "--topk" });
    expect(renamed.cause).toBe(error);
  });

  it("keeps the name of a file, whatever an interface calls its options", () => {
    const error = new ResonantError("invalid_argument", "is a folder", { where: "topK" });
    expect(error.renamed(() => "--top-k").message).toBe("topK: is a folder");
  });
});
