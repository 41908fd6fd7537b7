import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Session } from "./session.ts";

/** A place in a transcript, in UTF-16 units. */
export interface Mark {
  readonly offset: number;
  readonly length: number;
}

/** The view follows new text while the reader is this close, in pixels, to the end. */
const NEAR = 40;

/** A session's text as it arrives. `marked` is highlighted and scrolled into view. */
export function Transcript({
  session,
  label,
  marked,
}: {
  session: Session;
  label: string;
  marked: Mark | undefined;
}) {
  const box = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const segments = session.segments.value;
  useLayoutEffect(() => {
    const { current } = box;
    if (current && follows.current) current.scrollTop = current.scrollHeight;
  }, [segments]);
  useEffect(() => {
    const { current } = box;
    const range = current && marked && rangeOf(current, marked);
    const { highlights } = CSS as { highlights?: HighlightRegistry };
    if (!range) return;
    highlights?.set("chosen", new Highlight(range));
    const { top, bottom } = range.getBoundingClientRect();
    const view = current.getBoundingClientRect();
    if (top < view.top || bottom > view.bottom) current.scrollTop += top - view.top - view.height / 3;
    return () => void highlights?.delete("chosen");
  }, [marked]);
  return (
    <section
      class="transcript"
      ref={box}
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
      tabIndex={0}
      onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
        follows.current = scrollTop + clientHeight > scrollHeight - NEAR;
      }}
    >
      {segments.length === 0 && <div class="empty">{emptyText(session)}</div>}
      <p class="text">
        {segments.map(({ kind, text }, i) => (
          <span key={i} class={kind}>
            {text}
          </span>
        ))}
        {session.writing.value && <span class="caret" aria-hidden="true" />}
      </p>
    </section>
  );
}

const emptyText = (session: Session): string =>
  session.fresh
    ? "What you begin here, the model goes on with."
    : `The text before is not in the file; the stream remembers its ${session.position.value.toLocaleString()} tokens, and goes on after them.`;

/** The range of a mark, over the text nodes of `box`. */
function rangeOf(box: Element, { offset, length }: Mark): Range | undefined {
  const walker = document.createTreeWalker(box.querySelector(".text") ?? box, NodeFilter.SHOW_TEXT);
  const range = new Range();
  let begun = false;
  for (let at = 0, node = walker.nextNode() as Text | null; node; node = walker.nextNode() as Text | null) {
    const end = at + node.length;
    if (!begun && offset < end) {
      range.setStart(node, offset - at);
      begun = true;
    }
    if (begun && offset + length <= end) {
      range.setEnd(node, offset + length - at);
      return range;
    }
    at = end;
  }
  return undefined;
}
