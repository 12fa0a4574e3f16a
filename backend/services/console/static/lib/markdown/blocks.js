// Block structure of Markdown: text to a list of blocks.
//
// CommonMark without raw HTML and reference links; tables and task lists of GFM; formulas between
// `$$` or `\[ \]`. Every block has `start` and `end`, the numbers of its first line and of the line
// after its last one. Text of paragraphs, headings and cells is parsed by `inlines.js`.

import { LAZY, RULE, interruptsParagraph, readList, readQuote } from "./containers.js";
import { readTable, readTableHead } from "./tables.js";
import { expandTabs, normalize, unescapeText } from "./text.js";

const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:(?:^|[ \t])#+)?[ \t]*$/;
const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*(.*?)[ \t]*$/;
const UNDERLINE = /^ {0,3}(=+|-+)[ \t]*$/;
const INDENTED = /^ {4}/;
const FORMULA = /^ {0,3}(\$\$|\\\[)(.*)$/;
const FORMULA_ENDS = { $$: "$$", "\\[": "\\]" };
// Deeper containers are shown as text; each level costs a frame of the call stack.
const MAX_DEPTH = 24;

/** Return *source* as lines, ready for `parseLines`. */
export const splitLines = (source) => normalize(source).split("\n").map(expandTabs);

/** Parse a complete text. */
export function parseBlocks(source) {
  const lines = splitLines(source);
  if (lines.at(-1) === "") lines.pop();
  return parseLines(lines);
}

/** Return the blocks of *lines*. */
export function parseLines(lines, depth = 0) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at++;
      continue;
    }
    const block = readBlock(lines, at, depth);
    blocks.push(block);
    at = block.end;
  }
  return blocks;
}

function readBlock(lines, at, depth) {
  return (
    readFence(lines, at) ??
    readFormula(lines, at) ??
    readIndented(lines, at) ??
    readHeading(lines, at) ??
    readRule(lines, at) ??
    (depth < MAX_DEPTH ? (nestQuote(readQuote(lines, at), depth) ?? nestList(readList(lines, at), depth)) : null) ??
    readTable(lines, at, interruptsParagraph) ??
    readParagraph(lines, at, depth)
  );
}

function nestQuote(quote, depth) {
  if (!quote) return null;
  const { start, end } = quote;
  return { type: "quote", blocks: parseLines(quote.lines, depth + 1), start, end };
}

function nestList(list, depth) {
  if (!list) return null;
  const { number, start, end } = list;
  let isLoose = list.hasGap;
  const items = list.items.map(({ lines, source, checked }) => {
    const blocks = parseLines(lines.map(expandTabs), depth + 1);
    isLoose ||= blocks.some((block, index) => index > 0 && block.start > blocks[index - 1].end);
    return { blocks, source, checked };
  });
  return { type: "list", number, items, isLoose, start, end };
}

function readFence(lines, at) {
  const open = FENCE.exec(lines[at]);
  if (!open || (open[2][0] === "`" && open[3].includes("`"))) return null;
  const [, indent, mark, info] = open;
  const close = new RegExp(`^ {0,3}${mark[0]}{${mark.length},}[ \\t]*$`);
  const strip = new RegExp(`^ {0,${indent.length}}`);
  let end = at + 1;
  while (end < lines.length && !close.test(lines[end])) end++;
  const text = lines.slice(at + 1, end).map((line) => line.replace(strip, "").replaceAll(LAZY, "")).join("\n");
  const isClosed = end < lines.length;
  const language = unescapeText(info).split(/[\s{]/)[0].slice(0, 40);
  return { type: "code", language, text, isClosed, start: at, end: isClosed ? end + 1 : end };
}

/** Read a formula on lines of its own. A blank line before its end makes it a paragraph. */
function readFormula(lines, at) {
  const open = FORMULA.exec(lines[at]);
  if (!open) return null;
  const close = FORMULA_ENDS[open[1]];
  const tex = [];
  let text = open[2];
  for (let end = at; end < lines.length; text = lines[++end] ?? "") {
    const index = text.indexOf(close);
    if (index >= 0) {
      if (text.slice(index + 2).trim()) return null;
      tex.push(text.slice(0, index));
      return { type: "math", tex: tex.join("\n").trim(), isClosed: true, start: at, end: end + 1 };
    }
    if (end > at && !text.trim()) return null;
    tex.push(text);
  }
  return { type: "math", tex: tex.join("\n").trim(), isClosed: false, start: at, end: lines.length };
}

function readIndented(lines, at) {
  if (!INDENTED.test(lines[at])) return null;
  let end = at;
  for (let next = at; next < lines.length && (INDENTED.test(lines[next]) || !lines[next].trim()); next++) {
    if (lines[next].trim()) end = next + 1;
  }
  const text = lines.slice(at, end).map((line) => line.slice(4)).join("\n");
  return { type: "code", language: "", text, isClosed: true, start: at, end };
}

function readHeading(lines, at) {
  const match = HEADING.exec(lines[at]);
  if (!match) return null;
  const text = /^#+$/.test(match[2] ?? "") ? "" : (match[2] ?? "");
  return { type: "heading", level: match[1].length, text: text.trim(), start: at, end: at + 1 };
}

function readRule(lines, at) {
  return RULE.test(lines[at]) ? { type: "rule", start: at, end: at + 1 } : null;
}

function readParagraph(lines, at, depth) {
  const text = [];
  let end = at;
  for (; end < lines.length && lines[end].trim(); end++) {
    if (end > at) {
      const underline = UNDERLINE.exec(lines[end]);
      if (underline) return setextHeading(text, underline[1][0] === "=" ? 1 : 2, at, end + 1);
      if (depth < MAX_DEPTH && interruptsParagraph(lines[end])) break;
      if (readTableHead(lines, end)) break;
    }
    text.push(lines[end].replaceAll(LAZY, "").trimStart());
  }
  return { type: "paragraph", text: text.join("\n").trimEnd(), start: at, end };
}

const setextHeading = (text, level, start, end) => ({ type: "heading", level, text: text.join("\n").trim(), start, end });
