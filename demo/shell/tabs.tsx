import type { Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";

/** A list of tabs; arrow keys move between them. */
export function TabList<Name extends string>({
  label,
  names,
  shown,
}: {
  label: string;
  names: readonly Name[];
  shown: Signal<Name>;
}) {
  const move = (event: KeyboardEvent): void => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    const next = names[(names.indexOf(shown.peek()) + step + names.length) % names.length]!;
    shown.value = next;
    document.getElementById(tabId(next))?.focus();
  };
  return (
    <div role="tablist" aria-label={label} onKeyDown={move}>
      {names.map((name) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={tabId(name)}
          aria-selected={shown.value === name}
          aria-controls={panelId(name)}
          tabIndex={shown.value === name ? 0 : -1}
          onClick={() => {
            shown.value = name;
          }}
        >
          {name}
        </button>
      ))}
    </div>
  );
}

/** A tab's panel. Its contents are kept while another tab is shown. */
export const TabPanel = <Name extends string>({
  name,
  shown,
  children,
}: {
  name: Name;
  shown: Signal<Name>;
  children: ComponentChildren;
}) => (
  <div role="tabpanel" id={panelId(name)} aria-labelledby={tabId(name)} hidden={shown.value !== name}>
    {children}
  </div>
);

const tabId = (name: string): string => `tab-${name}`;
const panelId = (name: string): string => `panel-${name}`;
