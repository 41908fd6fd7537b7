import type { SearchAnswer } from "../engine/protocol.ts";
import { excerpt } from "./excerpt.ts";
import { confidenceInDigits, confidenceInWords, decimal, FAINT } from "./words.ts";

interface Props {
  readonly text: string;
  readonly matches: SearchAnswer["matches"];
  readonly chosen: number | undefined;
  onMatch(index: number): void;
}

/** The matches, best first, each with its context. */
export function MatchList({ text, matches, chosen, onMatch }: Props) {
  return (
    <ol class="search-matches">
      {matches.map((match, index) => {
        const { before, match: own, after } = excerpt(text, match);
        return (
          <li key={`${match.start} ${match.end}`}>
            <button type="button" aria-current={index === chosen} onClick={() => onMatch(index)}>
              <span class="search-rank">{index + 1}</span>
              <span class="search-excerpt">
                {before}
                <mark class={match.confidence < FAINT ? "faint" : ""}>{own}</mark>
                {after}
              </span>
              <span class="search-facts">
                <span>
                  Similarity <b>{decimal(match.similarity)}</b>
                </span>
                <span>character {match.start.toLocaleString("en")}</span>
                <span class="search-says">
                  {confidenceInWords(match.confidence)} (confidence {confidenceInDigits(match.confidence)})
                </span>
              </span>
            </button>
          </li>
        );
      })}
    </ol>
  );
}
