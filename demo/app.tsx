import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Choice, Client } from "./engine/client.ts";
import { Loading } from "./model/loading.tsx";
import { DEFAULT, ModelDialog } from "./model/model-dialog.tsx";
import { SearchTab } from "./search/search-tab.tsx";
import { Logo } from "./shell/logo.tsx";
import { TabList, TabPanel } from "./shell/tabs.tsx";
import { ThemeButton } from "./shell/theme-button.tsx";
import { Workspace } from "./write/workspace.ts";
import { WriteTab } from "./write/write-tab.tsx";

const TABS = ["Write", "Search"] as const;

const client = new Client();
const workspace = new Workspace(client);

async function load(choice: Choice): Promise<void> {
  const loaded = await client.load(choice);
  const { model } = client.status.peek();
  if (loaded && model) workspace.begin(model);
}

/** Repeats the last load, and recovers the sessions. */
async function retry(): Promise<void> {
  const before = client.status.peek().model;
  const loaded = await client.reload();
  const { model } = client.status.peek();
  if (!loaded || !model) return;
  if (before) await workspace.recover();
  else workspace.begin(model);
}

/** The whole page. */
export function App() {
  const tab = useSignal<(typeof TABS)[number]>("Write");
  const choosing = useSignal(false);
  useEffect(() => void load({ source: DEFAULT, format: "f32" }), []);
  const status = client.status.value;
  const { model } = status;
  const choose = (): void => {
    choosing.value = true;
  };
  return (
    <>
      <header class="top">
        <h1>
          <Logo /> Resonant
        </h1>
        {model && <TabList label="What to do" names={TABS} shown={tab} />}
        <button
          type="button"
          class="plain chosen"
          onClick={choose}
          aria-label={model && `Model: ${model.name}, ${model.format}`}
        >
          {model ? (
            <>
              <span class="detail">Model: </span>
              {model.name}
              <span class="detail">, {model.format}</span>
            </>
          ) : (
            "Model"
          )}
        </button>
        <ThemeButton />
      </header>
      {choosing.value && (
        <ModelDialog
          model={model}
          remarks={client.remarks.value}
          load={(choice) => void load(choice)}
          onClose={() => {
            choosing.value = false;
          }}
        />
      )}
      <main>
        <Loading
          status={status}
          retry={() => void retry()}
          choose={choose}
          dismiss={() => client.dismiss()}
        />
        {model && (
          <>
            <TabPanel name="Write" shown={tab}>
              <WriteTab workspace={workspace} />
            </TabPanel>
            <TabPanel name="Search" shown={tab}>
              <SearchTab modes={model.modes} run={(...args) => client.search(...args)} />
            </TabPanel>
          </>
        )}
      </main>
    </>
  );
}
