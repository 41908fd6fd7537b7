import { useSignal } from "@preact/signals";
import { fromEvent } from "file-selector";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { WeightFormat } from "../../engine/platform/browser/index.ts";
import { forgetModel, keptBytes } from "../../engine/platform/browser/kept-files.ts";
import type { Choice } from "../engine/client.ts";
import type { ModelInfo, ModelSource } from "../engine/protocol.ts";

const FORMATS: readonly (readonly [WeightFormat, string])[] = [
  ["f32", "f32: as they are"],
  ["f16", "f16: half the memory"],
  ["q8", "q8: a quarter"],
  ["q4", "q4: an eighth"],
];

/** The model that ships with the page. */
export const DEFAULT: ModelSource = {
  kind: "url",
  name: "shakespeare",
  url: new URL("./model/", document.baseURI).href,
};

/** Shows the loaded model and lets the reader load another. */
export function ModelDialog({
  model,
  remarks,
  load,
  onClose,
}: {
  model: ModelInfo | undefined;
  remarks: readonly string[];
  load: (choice: Choice) => void;
  onClose: () => void;
}) {
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const format = useSignal<WeightFormat>("f32");
  const url = useSignal("");
  const wrong = useSignal("");
  const over = useSignal(false);
  const choose = (source: ModelSource): void => {
    dialog.current?.close();
    load({ source, format: format.peek() });
  };
  const take = async (event: Event): Promise<void> => {
    const source = filesOf(await fromEvent(event));
    if (source) choose(source);
    else wrong.value = "There were no files in it.";
  };
  return (
    <dialog ref={dialog} aria-labelledby={`${id}-title`} onClose={onClose}>
      <header>
        <h2 id={`${id}-title`}>Model</h2>
        <form method="dialog">
          <button type="submit" class="plain">
            Close
          </button>
        </form>
      </header>
      {model && <Facts model={model} />}
      {remarks.length > 0 && (
        <ul class="remarks">
          {remarks.map((remark) => (
            <li key={remark}>{remark}</li>
          ))}
        </ul>
      )}
      <h3>Load another</h3>
      <label for={`${id}-format`}>Weights kept as</label>
      <select
        id={`${id}-format`}
        value={format.value}
        onChange={({ currentTarget }) => {
          format.value = currentTarget.value as WeightFormat;
        }}
      >
        {FORMATS.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
      <p>
        <button type="button" onClick={() => choose(DEFAULT)}>
          The one that comes with this page
        </button>
      </p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          try {
            choose(sourceOf(new URL(url.peek(), document.baseURI)));
          } catch {
            wrong.value = "That is no address.";
          }
        }}
      >
        <label for={`${id}-url`}>Address of a folder with config.json and model.safetensors</label>
        <div class="row">
          <input
            id={`${id}-url`}
            type="text"
            inputMode="url"
            autocomplete="off"
            required
            placeholder="https://…/resolve/main/"
            value={url.value}
            onInput={({ currentTarget }) => {
              url.value = currentTarget.value;
            }}
          />
          <button type="submit">Load</button>
        </div>
      </form>
      <label
        class="drop"
        data-over={over.value}
        onDragOver={(event) => {
          event.preventDefault();
          over.value = true;
        }}
        onDragLeave={() => {
          over.value = false;
        }}
        onDrop={(event) => {
          event.preventDefault();
          over.value = false;
          void take(event);
        }}
      >
        Drop a model's folder here, or choose one
        <input type="file" {...{ webkitdirectory: true }} onChange={(event) => void take(event)} />
      </label>
      {wrong.value && (
        <p class="problem" role="alert">
          {wrong.value}
        </p>
      )}
      <Kept />
    </dialog>
  );
}

function Facts({ model }: { model: ModelInfo }) {
  const facts: readonly (readonly [string, string])[] = [
    ["Name", model.name],
    ["Family", model.family],
    ["Size", `${model.layers} layers of ${model.size}, ${model.vocabulary.toLocaleString()} tokens`],
    ["Weights", `${(model.weightBytes / 1e6).toFixed(1)} MB on the GPU, as ${model.format}`],
    ["A stream's state", `${(model.stateBytes / 1024).toFixed(1)} kB, whatever its length`],
    ["Computes on", `${model.adapter}${model.software ? " (software, so it is slow)" : ""}`],
  ];
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Model files that earlier loads left in the browser's cache. */
function Kept() {
  const [bytes, setBytes] = useState<number>();
  useEffect(() => void keptBytes().then(setBytes), []);
  if (!bytes) return null;
  return (
    <p class="kept">
      {(bytes / 1e6).toFixed(1)} MB of weights are kept in this browser.{" "}
      <button type="button" class="plain" onClick={() => void forgetModel().then(() => setBytes(0))}>
        Forget them
      </button>
    </p>
  );
}

/** A hub's addresses end with /resolve/ and a revision. */
function sourceOf(url: URL): ModelSource {
  const path = url.pathname.replace(/\/resolve\/[^/]+\/?$/, "");
  const name = path.split("/").findLast((part) => part !== "") ?? url.host;
  return { kind: "url", name: decodeURIComponent(name), url: url.href };
}

function filesOf(items: readonly (File | DataTransferItem)[]): ModelSource | undefined {
  const files = items.filter((item) => item instanceof File);
  if (files.length === 0) return undefined;
  const byPath = files.map((file): [string, File] => {
    const { path = "", webkitRelativePath } = file as File & { path?: string };
    return [(webkitRelativePath || path || file.name).replace(/^\.?\//, ""), file];
  });
  const [folder] = byPath[0]![0].split("/");
  return { kind: "files", name: folder || "dropped files", files: new Map(byPath) };
}
