// Block quotations and lists: which lines belong to them. Their content is parsed by the caller.

export const LIST_MARKER = /^( {0,3})([-+*]|\d{1,9}[.)])( +(?=\S)|\s*$)/;
export const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
export const QUOTE = /^ {0,3}> ?/;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}#{1,6}(?:[ \t]|$)/;
const TASK = /^\[([ xX])\][ \t]+(?=\S)/;
// Marks a line that continues a paragraph without the markers of its containers. The source holds
// no NUL, so such a line starts no other block in the nested parse.
export const LAZY = "\0";

/** Return whether *line* starts a block that interrupts a paragraph. */
export function interruptsParagraph(line) {
  if (RULE.test(line) || QUOTE.test(line) || HEADING.test(line) || FENCE.test(line)) return true;
  const marker = LIST_MARKER.exec(line);
  return marker !== null && marker[3].trim() === "" && marker[3] !== "" && line.trim() !== marker[2] && /^(?:[-+*]|1[.)])$/.test(marker[2]);
}

/** Tracks whether a paragraph is open after each line, so that a lazy line continues it. */
class OpenParagraph {
  isOpen = false;
  fence = null;

  read(line) {
    let rest = line;
    for (let depth = 0; depth < 64; depth++) {
      const marker = RULE.test(rest) ? null : (QUOTE.exec(rest) ?? (this.isOpen && !interruptsParagraph(rest) ? null : LIST_MARKER.exec(rest)));
      if (!marker || !marker[0]) break;
      rest = rest.slice(marker[0].length);
    }
    const fence = FENCE.exec(rest)?.[1];
    if (this.fence) {
      if (fence?.startsWith(this.fence)) this.fence = null;
      this.isOpen = false;
    } else if (fence) {
      this.fence = fence;
      this.isOpen = false;
    } else {
      const isCode = /^ {4}/.test(rest) && !this.isOpen;
      this.isOpen = rest.trim() !== "" && !isCode && !RULE.test(rest) && !HEADING.test(rest);
    }
  }

  /** Any list marker ends a lazy paragraph, also a number other than 1. */
  continues(line) {
    return this.isOpen && line.trim() !== "" && !interruptsParagraph(line) && !LIST_MARKER.test(line);
  }
}

const asLazy = (line) => LAZY + line.replace(LAZY, "").trimStart();

/** Read the block quotation at line *at*; `lines` of the result are its content. */
export function readQuote(lines, at) {
  if (!QUOTE.test(lines[at])) return null;
  const content = [];
  const paragraph = new OpenParagraph();
  let end = at;
  for (; end < lines.length; end++) {
    const line = lines[end];
    if (QUOTE.test(line)) content.push(line.replace(QUOTE, ""));
    else if (paragraph.continues(line)) content.push(asLazy(line));
    else break;
    paragraph.read(content.at(-1));
  }
  return { type: "quote", lines: content, start: at, end };
}

/** Read the list at line *at*; each item of the result has `lines`, `source` and `checked`. */
export function readList(lines, at) {
  const first = LIST_MARKER.exec(lines[at]);
  if (!first || RULE.test(lines[at])) return null;
  const kind = first[2].at(-1);
  const items = [];
  let next = at;
  let end = at;
  let hasGap = false;
  while (next < lines.length) {
    const marker = LIST_MARKER.exec(lines[next]);
    if (!marker || marker[2].at(-1) !== kind || RULE.test(lines[next])) break;
    hasGap ||= items.length > 0 && next > end;
    const item = readItem(lines, next, marker);
    items.push(item.content);
    end = item.end;
    next = skipBlank(lines, end);
  }
  const number = /^\d/.test(first[2]) ? Number.parseInt(first[2], 10) : null;
  return { type: "list", number, items, hasGap, start: at, end };
}

function skipBlank(lines, from) {
  let next = from;
  while (next < lines.length && !lines[next].trim()) next++;
  return next;
}

function readItem(lines, at, marker) {
  const spaces = marker[3].trim() === "" && marker[3].length >= 1 && marker[3].length <= 4 ? marker[3].length : 1;
  const isEmpty = lines[at].trim() === marker[2];
  const width = marker[1].length + marker[2].length + (isEmpty ? 1 : spaces);
  const content = [lines[at].slice(width)];
  const paragraph = new OpenParagraph();
  paragraph.read(content[0]);
  let end = at + 1;
  for (let next = end; next < lines.length; next++) {
    const line = lines[next];
    const isBlank = !line.trim();
    if (isBlank && isEmpty && next === at + 1) break;
    if (isBlank) content.push("");
    else if (/^ *$/.test(line.slice(0, width)) && line.length > width) content.push(line.slice(width));
    else if (paragraph.continues(line)) content.push(asLazy(line));
    else break;
    paragraph.read(content.at(-1));
    if (!isBlank) end = next + 1;
  }
  return { content: asItem(content.slice(0, end - at)), end };
}

function asItem(lines) {
  const task = TASK.exec(lines[0]);
  const source = lines.join("\n");
  if (!task) return { lines, source, checked: null };
  return { lines: [lines[0].slice(task[0].length), ...lines.slice(1)], source, checked: task[1] !== " " };
}
