import { type Signal, signal } from "@preact/signals";
import { createRef } from "preact";
import { count, faulty } from "./words.ts";

/** A longer text is kept outside the text area, which would lay out all of it. */
const MOST_IN_AREA = 400_000;
const PREVIEW = 600;

/** The text to search: editable in a text area if it is short, otherwise only kept in memory. */
export class SourceText {
  readonly area = createRef<HTMLTextAreaElement>();
  readonly name = signal("");
  readonly length = signal(0);
  /** The text, if it is not in the text area. */
  readonly held = signal<string | undefined>(undefined);
  /** Counts changes of the text. */
  readonly version = signal(0);

  read(): string {
    return this.held.value ?? this.area.current?.value ?? "";
  }

  set(text: string, name = ""): void {
    // A text area normalises line ends in the same way.
    const lines = text.replace(/\r\n?/g, "\n");
    const long = lines.length > MOST_IN_AREA;
    this.held.value = long ? lines : undefined;
    this.name.value = name;
    if (this.area.current) this.area.current.value = long ? "" : lines;
    this.#changed(lines.length);
  }

  edited(): void {
    this.#changed(this.area.current?.textLength ?? 0);
  }

  #changed(length: number): void {
    this.length.value = length;
    this.version.value++;
  }
}

interface Props {
  readonly source: SourceText;
  readonly fault: string | undefined;
  readonly dropping: Signal<boolean>;
  onFile(file: File): void;
  onSample(): void;
}

export function TextSourceField({ source, fault, dropping, onFile, onSample }: Props) {
  const held = source.held.value;
  const pasted = (event: ClipboardEvent): void => {
    const area = event.currentTarget as HTMLTextAreaElement;
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (text.length + area.textLength <= MOST_IN_AREA) return;
    event.preventDefault();
    source.set(
      area.value.slice(0, area.selectionStart) + text + area.value.slice(area.selectionEnd),
      "Pasted text",
    );
  };
  const dropped = (event: DragEvent): void => {
    dropping.value = false;
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    onFile(file);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: files may also be dropped here; the button does the same
    <div
      class={`search-source${dropping.value ? " dropping" : ""}`}
      onDragOver={(event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        dropping.value = true;
      }}
      onDragLeave={() => {
        dropping.value = false;
      }}
      onDrop={dropped}
    >
      <div class="search-row">
        <label for="search-context">Text to search</label>
        <span class="search-soft">{count(source.length.value, "character")}</span>
      </div>
      {held !== undefined && (
        <section class="search-held" aria-label="The text that is searched">
          <p>
            <strong>{source.name.value}</strong> is too long to edit here, and is searched as it is. It
            begins:
          </p>
          <blockquote>{held.slice(0, PREVIEW)}…</blockquote>
        </section>
      )}
      <textarea
        id="search-context"
        ref={source.area}
        hidden={held !== undefined}
        rows={6}
        spellcheck={false}
        autocomplete="off"
        placeholder="Paste a text of any length, or drop a text file here."
        aria-invalid={fault !== undefined}
        aria-describedby={fault === undefined ? undefined : "search-context-fault"}
        onInput={() => source.edited()}
        onPaste={pasted}
      />
      {fault !== undefined && (
        <p id="search-context-fault" class="search-fault" role="alert">
          {fault}
        </p>
      )}
      <div class="search-buttons">
        <label class="search-button">
          Open a text file…
          <input
            type="file"
            accept="text/*,.txt,.md,.csv,.json,.log,.xml,.html,.tex"
            onChange={(event) => {
              const file = event.currentTarget.files?.[0];
              event.currentTarget.value = "";
              if (file) onFile(file);
            }}
          />
        </label>
        <button type="button" class="search-button" onClick={onSample}>
          Try a sample
        </button>
        {source.length.value > 0 && (
          <button
            type="button"
            class="search-button quiet"
            onClick={() => {
              source.set("");
              source.area.current?.focus();
            }}
          >
            Clear
          </button>
        )}
      </div>
    </div>
  );
}

/**
 * A file's text.
 * @throws Error naming `context` if the file is not text, or longer than a string can be
 */
export async function readText(file: File): Promise<string> {
  if (file.size > 2 ** 28) throw faulty("context", "has more than 256 MiB", "Take a part of it");
  const text = await file.text();
  if (text.slice(0, 4096).includes("\0")) throw faulty("context", `in ${file.name} is no plain text`);
  return text;
}
