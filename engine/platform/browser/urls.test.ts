import { expect, it } from "vitest";
import { fileUrl, folderUrl } from "./urls.ts";

it.each([
  ["http://a/models/x", "config.json", "http://a/models/x/config.json"],
  ["http://a/models/x/", "config.json", "http://a/models/x/config.json"],
  ["http://a/x?key=1#top", "config.json", "http://a/x/config.json?key=1"],
  ["http://a/x?key=1", "adapters.pt?key=2", "http://a/x/adapters.pt?key=2"],
  ["http://a/x?key=1", "http://b/adapters.pt", "http://b/adapters.pt"],
])("in the folder %s, %s is %s", (folder, file, url) => {
  expect(fileUrl(folderUrl(folder), file)).toBe(url);
});

it("what is no URL is refused by its name", () => {
  expect(() => folderUrl("http://")).toThrow("http://: it is not the URL of a folder. Give a whole URL");
});
