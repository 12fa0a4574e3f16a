// Characters of Markdown source: normalisation, character references, backslash escapes.

const NAMED = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", reg: "®", trade: "™",
  hellip: "…", mdash: "—", ndash: "–", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", laquo: "«",
  raquo: "»", bull: "•", middot: "·", deg: "°", plusmn: "±", times: "×", divide: "÷", minus: "−",
  euro: "€", pound: "£", yen: "¥", cent: "¢", sect: "§", para: "¶", micro: "µ", frac12: "½",
  frac14: "¼", frac34: "¾", sup1: "¹", sup2: "²", sup3: "³", le: "≤", ge: "≥", ne: "≠", asymp: "≈",
  larr: "←", rarr: "→", uarr: "↑", darr: "↓", harr: "↔", infin: "∞", alpha: "α", beta: "β",
  gamma: "γ", delta: "δ", lambda: "λ", pi: "π", sigma: "σ", omega: "ω", Delta: "Δ", Omega: "Ω",
  auml: "ä", ouml: "ö", uuml: "ü", Auml: "Ä", Ouml: "Ö", Uuml: "Ü", szlig: "ß", eacute: "é",
  egrave: "è", agrave: "à", ccedil: "ç", ntilde: "ñ", iexcl: "¡", iquest: "¿", shy: "\u00ad",
};

const REFERENCE = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z][a-zA-Z0-9]{1,31}));/y;
const PUNCTUATION = /[!-/:-@[-`{-~]/;
const REPLACEMENT = "\ufffd";

/**
 * Return *source* with LF line ends. NUL and the two direction overrides, which can make text
 * read differently from what it is, become U+FFFD.
 */
export function normalize(source) {
  return source.replace(/\r\n?/g, "\n").replace(/[\0\u202d\u202e]/g, REPLACEMENT);
}

/** Return *line* with the tabs of its indentation and block markers expanded to columns of four. */
export function expandTabs(line) {
  if (!line.includes("\t")) return line;
  const prefix = /^[ \t>*+\-\d.)]*/.exec(line)[0];
  let columns = "";
  for (const character of prefix) {
    columns += character === "\t" ? " ".repeat(4 - (columns.length % 4)) : character;
  }
  return columns + line.slice(prefix.length);
}

/** Return `[character, length]` of the character reference at *position*, or null. */
export function readReference(text, position) {
  REFERENCE.lastIndex = position;
  const match = REFERENCE.exec(text);
  if (!match) return null;
  const [whole, decimal, hexadecimal, name] = match;
  if (name) return Object.hasOwn(NAMED, name) ? [NAMED[name], whole.length] : null;
  return [decodePoint(decimal ? parseInt(decimal, 10) : parseInt(hexadecimal, 16)), whole.length];
}

function decodePoint(code) {
  const isInvalid = code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff);
  return isInvalid ? REPLACEMENT : normalize(String.fromCodePoint(code));
}

export const isEscapable = (character) => character !== undefined && PUNCTUATION.test(character);

/** Return *text* without backslash escapes and character references. */
export function unescapeText(text) {
  let result = "";
  for (let at = 0; at < text.length; ) {
    const reference = text[at] === "&" && readReference(text, at);
    if (text[at] === "\\" && isEscapable(text[at + 1])) {
      result += text[at + 1];
      at += 2;
    } else if (reference) {
      result += reference[0];
      at += reference[1];
    } else {
      result += text[at];
      at += 1;
    }
  }
  return result;
}
