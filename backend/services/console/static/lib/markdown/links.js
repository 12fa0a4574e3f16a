// Links of Markdown: destinations, titles, autolinks, and which addresses are allowed.

import { isEscapable, unescapeText } from "./text.js";

const ALLOWED = /^(?:https?:\/\/[^\s/]|mailto:[^\s@]+@|tel:\+?[\d(])/i;
// Pages of packages in this console, which tools of the agent name.
const PACKAGE_PAGE = /^\/console\/packages\/pkg_[\w-]{1,64}(?:\?event=[\w-]{1,64})?$/;
// Browsers drop tabs and line ends inside a scheme, and ignore control characters around it.
// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u0020\u007f-\u009f\u2028\u2029]/;
const BARE_URL = /(?<![\p{L}\p{N}_/@.-])(?:https?:\/\/|www\.)[^\s<>"[\]]+/gu;
const AUTOLINK = /<([a-zA-Z][a-zA-Z0-9+.-]{1,31}:[^\s<>]*|[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+)>/y;
const TITLE = /[ \n]+(?:"((?:[^"\\]|\\[^])*)"|'((?:[^'\\]|\\[^])*)'|\(((?:[^()\\]|\\[^])*)\))/y;
const MAX_NESTING = 32;

/** Return *address* if a link may lead there (http, https, mailto, tel, a package), else null. */
export function allowedAddress(address) {
  if (PACKAGE_PAGE.test(address)) return address;
  const isAllowed = !FORBIDDEN.test(address) && ALLOWED.test(address) && URL.canParse(address);
  return isAllowed ? address : null;
}

/**
 * Read `(destination "title")` at *position*.
 *
 * Returns `{href, end}`, where `href` is null for an address that is not allowed, or null if there
 * is no such text. Titles are read and dropped: a tooltip that differs from the address misleads.
 */
export function readDestination(text, position) {
  if (text[position] !== "(") return null;
  let at = skipSpace(text, position + 1);
  const destination = text[at] === "<" ? readBracketed(text, at) : readPlain(text, at);
  if (!destination) return null;
  at = destination.end;
  TITLE.lastIndex = at;
  const title = TITLE.exec(text);
  if (title) at += title[0].length;
  at = skipSpace(text, at);
  if (text[at] !== ")") return null;
  return { href: allowedAddress(unescapeText(destination.source)), end: at + 1 };
}

function skipSpace(text, at) {
  while (text[at] === " " || text[at] === "\n") at++;
  return at;
}

function readBracketed(text, start) {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === ">") return { source: text.slice(start + 1, at), end: at + 1 };
    if (text[at] === "<" || text[at] === "\n") return null;
    if (text[at] === "\\") at++;
  }
  return null;
}

function readPlain(text, start) {
  let depth = 0;
  let at = start;
  for (; at < text.length; at++) {
    const character = text[at];
    if (character === "\\" && isEscapable(text[at + 1])) at++;
    else if (character === "(" && ++depth > MAX_NESTING) return null;
    else if (character === ")" && --depth < 0) break;
    else if (character <= " ") break;
  }
  return depth > 0 ? null : { source: text.slice(start, at), end: at };
}

/** Return `{href, label, end}` of the autolink `<…>` at *position*, or null. */
export function readAutolink(text, position) {
  AUTOLINK.lastIndex = position;
  const match = AUTOLINK.exec(text);
  if (!match) return null;
  const label = match[1];
  const address = /^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(label) ? label : `mailto:${label}`;
  return { href: allowedAddress(address), label, end: position + match[0].length };
}

/** Return the bare addresses in *text* as a map from position to `{href, label, end}`. */
export function findBareUrls(text) {
  const found = new Map();
  if (!text.includes("://") && !text.includes("www.")) return found;
  for (const match of text.matchAll(BARE_URL)) {
    const label = trimUrl(match[0]);
    const href = allowedAddress(label.startsWith("www.") ? `https://${label}` : label);
    if (href && label.length > 4) found.set(match.index, { href, label, end: match.index + label.length });
  }
  return found;
}

/** Return *url* without punctuation of the sentence around it. */
function trimUrl(url) {
  let label = url.replace(/[`|\]\\].*$/su, "");
  for (;;) {
    const shorter = label.replace(/(?:[?!.,:;*_~'$]|&[a-zA-Z]+;)$/u, "");
    if (shorter !== label) label = shorter;
    else if (label.endsWith(")") && count(label, ")") > count(label, "(")) label = label.slice(0, -1);
    else return label;
  }
}

const count = (text, character) => text.split(character).length - 1;
