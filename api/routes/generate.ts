import { ResonantError } from "../../common/errors.ts";
import type { Finish } from "../../engine/generate.ts";
import type { Model } from "../../engine/model.ts";
import type { ApiContext } from "../context.ts";
import { generateOptions } from "../contract.ts";
import { ApiError } from "../errors.ts";
import { refuseOtherPages } from "../middleware/own-hosts.ts";
import { post } from "../operation.ts";
import { generateAnswer } from "../responses.ts";
import {
  type GenerateRequest,
  type GenerateResponse,
  generateRequest,
  generateResponse,
} from "../schemas/generate.ts";
import type { Job, Service } from "../service.ts";
import { ownerOf, type TurnPiece, takeTurn } from "../sessions/turn.ts";
import { eventStream, type ServerSentEvent } from "../sse.ts";

/** `POST /v1/generate`. */
export const generateOperation = post({
  path: "/v1/generate",
  id: "generate",
  tag: "Generation",
  summary: "Continue a text",
  body: generateRequest,
  example: () => ({
    prompt: "Once upon a time",
    max_tokens: 16,
    temperature: 0.8,
    stop_sequences: ["END"],
    seed: 42,
    return_phase_metrics: true,
  }),
  answer: generateResponse,
  events:
    'With `stream: true`: messages `{"text": "…"}`, then an event `done` with the whole answer, or an event `error` with an error',
  errors: ["not_found", "forbidden"],
  guarded: true,
  handle: async (c, service, request) => {
    for (const field of STATE_FIELDS) if (request[field]) refuseOtherPages(c, service.settings, field);
    const { model } = service;
    refuseStates(model, request);
    const pieces = piecesOf(c, service, model, request);
    const answer = (text: string, last: Last) =>
      responseBody(model, service, request, ownerOf(c, service), text, last);
    if (!request.stream) {
      let text = "";
      for await (const piece of pieces) {
        text += piece.text;
        if (isLast(piece)) return c.json(answer(text, piece));
      }
      throw new ResonantError("model", "the generation ended without a last piece");
    }
    const first = await pieces.next(); // an error before the first piece still has its own HTTP status
    return eventStream(c, service, events(first, pieces, answer), (error) => error.body());
  },
});

const STATE_FIELDS = ["return_state", "state", "session"] as const;

/** Returns the pieces of the requested generation, which starts when the first piece is read. */
function piecesOf(
  c: ApiContext,
  service: Service,
  model: Model,
  request: GenerateRequest,
): AsyncGenerator<TurnPiece, void, undefined> {
  const { session, turn } = request;
  const signal = c.get("signal");
  const client = c.get("client");
  const run = (job: Job) =>
    service.inTurn(client, signal, (timer) => service.generate(model, job, timer, signal, client));
  const job = toJob(request, service, ownerOf(c, service));
  if (typeof session !== "string") return run(job);
  return takeTurn(service, { owner: ownerOf(c, service), session, turn: turn ?? undefined }, job, run);
}

/** @throws ApiError `validation_error` naming a field that needs portable states, if the model has attention */
function refuseStates(model: Model, request: GenerateRequest): void {
  if (model.facts.portable) return;
  for (const field of STATE_FIELDS) {
    if (!request[field]) continue;
    throw new ApiError(
      "validation_error",
      `${field} must be left out: states of a model with attention are not portable`,
      {
        details: { field, allowed: "left out" },
      },
    );
  }
}

type Last = TurnPiece & { readonly finish: Finish };

const isLast = (piece: TurnPiece): piece is Last => piece.finish !== undefined;

function toJob(request: GenerateRequest, service: Service, owner: string): Job {
  const { state } = request;
  return {
    prompt: request.prompt ?? "",
    state: typeof state === "string" ? service.states.verify(state, owner) : undefined,
    returnState: request.return_state,
    options: generateOptions(request),
  };
}

function responseBody(
  model: Model,
  service: Service,
  request: GenerateRequest,
  owner: string,
  text: string,
  { finish, milliseconds = 0, state, turn }: Last,
): GenerateResponse {
  const whole = generateAnswer(model, request.prompt ?? "", { ...finish, text }, milliseconds);
  return {
    ...whole,
    phase_metrics: request.return_phase_metrics ? whole.phase_metrics : null,
    memory_stats: request.return_memory_stats ? whole.memory_stats : null,
    ...(state && request.return_state ? { state: service.states.sign(state, owner) } : {}),
    ...(turn === undefined ? {} : { session: request.session ?? "", turn }),
  };
}

async function* events(
  first: IteratorResult<TurnPiece, void>,
  pieces: AsyncGenerator<TurnPiece, void, undefined>,
  answer: (text: string, last: Last) => GenerateResponse,
): AsyncGenerator<ServerSentEvent> {
  let text = "";
  try {
    for (let next = first; !next.done; next = await pieces.next()) {
      const piece = next.value;
      text += piece.text;
      if (piece.text) yield { data: { text: piece.text } };
      if (isLast(piece)) yield { event: "done", data: answer(text, piece) };
    }
  } finally {
    await pieces.return();
  }
}
