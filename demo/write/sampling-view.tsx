import { useId } from "preact/hooks";
import { type Controls, SETTINGS, type Setting } from "./sampling.ts";

/** The sampler's settings. */
export function SamplingView({ controls }: { controls: Controls }) {
  const id = useId();
  return (
    <details class="sampling">
      <summary>Sampling</summary>
      <div class="settings">
        {SETTINGS.map((setting) => (
          <Control key={setting.name} controls={controls} setting={setting} />
        ))}
        <div class="setting">
          <label for={`${id}-seed`}>Seed</label>
          <input
            id={`${id}-seed`}
            type="text"
            inputMode="numeric"
            placeholder="random"
            aria-describedby={`${id}-hint`}
            value={controls.seed.value}
            onInput={({ currentTarget }) => {
              controls.seed.value = currentTarget.value;
            }}
          />
          <small id={`${id}-hint`}>The same seed writes the same text</small>
        </div>
      </div>
      <button type="button" onClick={() => controls.reset()}>
        Defaults
      </button>
    </details>
  );
}

function Control({ controls, setting }: { controls: Controls; setting: Setting }) {
  const id = useId();
  const { name, label, hint, min, max, step } = setting;
  const value = controls.values[name as keyof Controls["values"]];
  const set = (typed: number): void => {
    if (!Number.isNaN(typed)) value.value = Math.min(max, Math.max(min, typed));
  };
  return (
    <div class="setting">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="number"
        {...{ min, max, step }}
        aria-describedby={`${id}-hint`}
        value={value.value}
        onChange={({ currentTarget }) => {
          set(currentTarget.valueAsNumber);
          currentTarget.valueAsNumber = value.value ?? 0;
        }}
      />
      <input
        type="range"
        aria-label={label}
        tabIndex={-1}
        {...{ min, max, step }}
        value={value.value}
        onInput={({ currentTarget }) => set(currentTarget.valueAsNumber)}
      />
      <small id={`${id}-hint`}>{hint}</small>
    </div>
  );
}
