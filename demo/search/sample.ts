/** Halves of Shakespeare's lines (Macbeth, Hamlet, The Tempest, Richard III, sonnets), recombined at random. */
const FIRST =
  "Tomorrow, and tomorrow,|Now is the winter|The quality of mercy|To be, or not to be:|Full fathom five|Shall I compare thee|Out, out, brief candle!|We are such stuff|The rest is silence,|Like as the waves|If music be the food|When in disgrace";
const SECOND =
  "creeps in this petty pace|of our discontent|is not strained|that is the question|thy father lies|to a summer’s day|life’s but a walking shadow|as dreams are made on|and flights of angels|make towards the shore|of love, play on|with fortune and men’s eyes";
const HIDDEN = "The keeper of the lighthouse wrote his name in salt upon the harbour wall.";

export interface Sample {
  readonly text: string;
  readonly needle: string;
}

/** A text of about `characters` characters, always the same, with one sentence that is nearly the needle. */
export function sample(characters = 12_000): Sample {
  const [first, second] = [FIRST.split("|"), SECOND.split("|")];
  let seed = 1;
  // Numerical Recipes' linear congruential generator: its high bits are random enough to shuffle lines.
  const below = (most: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * most);
  };
  const lines: string[] = [];
  for (let length = 0, hidden = false; length < characters; length += lines.at(-1)!.length + 1) {
    const due: boolean = !hidden && length > 0.62 * characters;
    hidden ||= due;
    lines.push(
      due ? HIDDEN : `${first[below(first.length)]} ${second[below(second.length)]}${".;,!"[below(4)]}`,
    );
  }
  return { text: lines.join("\n"), needle: "the lighthouse wrote her name in sallt" };
}
