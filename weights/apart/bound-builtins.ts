/**
 * The most characters of a text that one step may make of smaller ones. A thread that passes its memory limit ends alone only if it
 * does so in small steps: V8 ends the whole process when one text alone is far too large.
 */
const MOST = 2 ** 22;

function check(characters: number): void {
  if (characters > MOST) throw new RangeError(`a text of more than ${MOST} characters`);
}

/** Bounds what in this thread makes much of little: repeated, padded, replaced and joined texts. */
export function boundBuiltins(): void {
  const text = String.prototype;
  const { repeat, padStart, padEnd, replace, replaceAll } = text;
  const { join } = Array.prototype;
  text.repeat = function (count) {
    check(this.length * count);
    return repeat.call(this, count);
  };
  text.padStart = function (length, ...fill) {
    check(length);
    return padStart.call(this, length, ...fill);
  };
  text.padEnd = function (length, ...fill) {
    check(length);
    return padEnd.call(this, length, ...fill);
  };
  text.replace = bounded(replace as Replace) as typeof replace;
  text.replaceAll = bounded(replaceAll as Replace) as typeof replaceAll;
  Array.prototype.join = function (separator = ",") {
    // An item that is no text is joined by itself, through here if it is a list.
    let length = 0;
    for (let i = 0; i < this.length; i++) {
      const item: unknown = this[i];
      if (typeof item === "object" && item !== null) this[i] = String(item);
      length += String(this[i] ?? "").length + String(separator).length;
      check(length);
    }
    return join.call(this, separator);
  };
}

type Replace = (this: string, pattern: unknown, content: unknown) => string;

/** Counts what is put in, if it could be too much. */
function bounded(native: Replace): Replace {
  return function (pattern, content) {
    if (typeof content !== "string" || (this.length + 1) * (content.length + 1) <= MOST) {
      return native.call(this, pattern, content);
    }
    let length = this.length;
    native.call(this, pattern, (whole: string) => {
      // `$` may put in parts of the text: then no more than all of it each time.
      length += content.includes("$") ? content.length * this.length : content.length - whole.length;
      check(length);
      return "";
    });
    return native.call(this, pattern, content);
  };
}
