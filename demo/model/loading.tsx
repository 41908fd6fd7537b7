import type { Status } from "../engine/client.ts";
import type { LoadProgress } from "../engine/protocol.ts";
import { Problem, sentence } from "../shell/problem.tsx";

/** Shows progress while a model loads, and why one could not be loaded; otherwise nothing. */
export function Loading(props: {
  status: Status;
  retry: () => void;
  choose: () => void;
  dismiss: () => void;
}) {
  const { status, retry, choose, dismiss } = props;
  if (status.kind === "ready" && !status.failure) return null;
  const again = (
    <button type="button" class="primary" onClick={retry}>
      Try again
    </button>
  );
  return (
    <section class="notice" data-again={status.model !== undefined} aria-busy={status.kind === "loading"}>
      {status.kind === "loading" && (
        <>
          <h2>Getting the model ready</h2>
          <Bar progress={status.progress} />
        </>
      )}
      {status.kind === "ready" && status.failure && (
        <Problem message={sentence(status.failure.message, `${status.model.name} is still there.`)}>
          <div class="actions">
            <button type="button" onClick={dismiss}>
              Go on with it
            </button>
            <button type="button" onClick={choose}>
              Choose another model
            </button>
          </div>
        </Problem>
      )}
      {status.kind === "failed" && (
        <>
          <h2>
            {status.failure.code === "no_adapter" ? "WebGPU is missing" : "The model could not be loaded"}
          </h2>
          <Problem message={status.failure.message}>
            <div class="actions">
              {again}
              {status.failure.code !== "no_adapter" && (
                <button type="button" onClick={choose}>
                  Choose another model
                </button>
              )}
            </div>
          </Problem>
        </>
      )}
      {status.kind === "lost" && (
        <Problem message="The GPU was lost. The texts and their states are kept; what was being written will be written again, by the same seed.">
          {status.reason && (
            <p>
              <small>The browser says: {status.reason.trim()}</small>
            </p>
          )}
          <div class="actions">{again}</div>
        </Problem>
      )}
    </section>
  );
}

function Bar({ progress }: { progress: LoadProgress | undefined }) {
  const { what = "preparing the model", bytes = 0, total } = progress ?? {};
  const done = bytes === total || progress === undefined;
  const label = what.charAt(0).toUpperCase() + what.slice(1);
  return (
    <>
      <progress aria-label={label} {...(done || total === undefined ? {} : { value: bytes, max: total })} />
      <p>
        {label}
        {progress &&
          !done &&
          `: ${megabytes(bytes)}${total === undefined ? "" : ` of ${megabytes(total)}`} MB`}
      </p>
    </>
  );
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
