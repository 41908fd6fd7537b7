import { loadModel } from "resonant/browser";

const page = document.querySelector("pre");
const onProgress = (bytes, total) => (page.textContent = `Loading: ${bytes} of ${total ?? "?"} bytes`);
try {
  const model = await loadModel("shakespeare/", { onProgress });
  page.textContent = "ROMEO:";
  for await (const { text } of model.generate("ROMEO:", { maxTokens: 300 })) page.append(text);
} catch (error) {
  page.textContent = error.message;
}
