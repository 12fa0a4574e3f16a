// TeX in text: `\( \)`, `\[ \]`, `$$ $$`, and a single `$` only where it cannot be money.

const FORMULA = /\\[a-zA-Z]|[\^_={}<>]|^[a-zA-Z]'?$|[a-zA-Z0-9)]\s*[+*/|-]\s*\\?[a-zA-Z(]/;
const MAX_LENGTH = 4000;

/**
 * Return `{tex, isDisplay, end}` of the formula that starts at *position*, or null.
 * `end` is the index after its closing mark.
 */
export function readFormula(text, position) {
  if (text[position] === "\\") {
    if (text[position + 1] === "(") return readUntil(text, position + 2, "\\)", false);
    if (text[position + 1] === "[") return readUntil(text, position + 2, "\\]", true);
    return null;
  }
  if (text.startsWith("$$", position)) return readUntil(text, position + 2, "$$", true);
  return readSingle(text, position);
}

function readUntil(text, start, close, isDisplay) {
  const length = text.slice(start, start + MAX_LENGTH).indexOf(close);
  const tex = text.slice(start, start + length).trim();
  return length > 0 && tex ? { tex, isDisplay, end: start + length + close.length } : null;
}

/** Read `$…$`: pandoc's rule for spaces and digits, and the content must look like a formula. */
function readSingle(text, position) {
  const before = text[position - 1] ?? " ";
  if (/[\p{L}\p{N}$\\]/u.test(before) || /[\s$]/.test(text[position + 1] ?? " ")) return null;
  const limit = Math.min(text.length, position + MAX_LENGTH);
  for (let at = position + 1; at < limit; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "`" || (text[at] === "\n" && text[at + 1] === "\n")) return null;
    else if (text[at] === "$") return closeSingle(text, position, at);
  }
  return null;
}

function closeSingle(text, start, end) {
  const tex = text.slice(start + 1, end);
  if (/\s$/.test(tex) || /[\d\p{L}$]/u.test(text[end + 1] ?? " ")) return null;
  const isPrice = /^\d[\d.,]*\s*(?:[-–/]|[a-z]{2,}\b|$)/i.test(tex) && !/[\\^_=]/.test(tex);
  return !isPrice && FORMULA.test(tex) ? { tex, isDisplay: false, end: end + 1 } : null;
}
