import { expect, it } from "vitest";
import { safeText } from "./safe-text.ts";

it("lets nothing through that could command a terminal", () => {
  expect(safeText("\x1b[2J\x1b]0;title\x07")).toBe("\ufffd[2J\ufffd]0;title\ufffd");
  expect(safeText("over\rwritten\b\x7f\x9b31m\0")).toBe("over\ufffdwritten\ufffd\ufffd\ufffd31m\ufffd");
  expect(safeText("\u202egnp.exe\u2066\u2028")).toBe("\ufffdgnp.exe\ufffd\ufffd");
  expect(safeText("half\ud800")).toBe("half\ufffd");
});

it("keeps text, lines and tabs as they are", () => {
  const text = "ROMEO:\n\tGrüße, 🙂 日本語 e\u0301\u200d\n";
  expect(safeText(text)).toBe(text);
  expect(safeText("a\r\nb")).toBe("a\nb");
});
