// The part of CommonMark that answers use, as elements: paragraphs, lists, quotes, code, tables, links.
//
// Raw HTML is text. Headings become bold paragraphs: a chat has no outline. Images become links.

import { create } from "./dom.js";

const FENCE = /^ {0,3}(```+|~~~+)/;
const ITEM = /^ {0,3}(?:[-*+]|(\d{1,9})[.)])\s+/;
const QUOTE = /^ {0,3}>\s?/;
const HEADING = /^ {0,3}#{1,6}\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const TABLE_LINE = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;
const SAFE_URL = /^(?:https?:\/\/|mailto:|tel:)/i;
const MAX_DEPTH = 8;
const INLINE = new RegExp(
  [
    "(?<escape>\\\\[!-/:-@[-`{-~])",
    "(?<ticks>`+)(?<code>[^`][\\s\\S]{0,5000}?)\\k<ticks>(?!`)",
    "!?\\[(?<label>[^\\[\\]]{0,500})\\]\\((?<target>[^\\s()]{1,2000})(?:\\s+\"[^\"]{0,200}\")?\\)",
    "<(?<auto>(?:https?://|mailto:)[^\\s<>]{1,2000})>",
    "(?<url>https?://[^\\s<>()\\[\\]]{1,2000}[^\\s<>()\\[\\].,;:!?'\"*_])",
    "(?<strong>\\*\\*|__)(?=\\S)(?<bold>[^\\n]{1,2000}?\\S)\\k<strong>",
    "~~(?=\\S)(?<strike>[^\\n]{1,2000}?\\S)~~",
    "(?<![\\w*_])(?<mark>[*_])(?=[^\\s*_])(?<italic>[^\\n]{0,2000}?[^\\s*_])\\k<mark>(?![\\w*_])",
    "(?<break>(?: {2,}|\\\\)?\\n)",
  ].join("|"),
  "g",
);

/** Return the elements of *text*. */
export function renderMarkdown(text) {
  return renderBlocks(text.replace(/\r\n?/g, "\n").split("\n"), 0);
}

function renderBlocks(lines, depth) {
  const blocks = document.createDocumentFragment();
  let index = 0;
  const takeWhile = (test) => {
    const start = index;
    while (index < lines.length && test(lines[index], index - start)) index++;
    return lines.slice(start, index);
  };
  while (index < lines.length) {
    const line = lines[index];
    const fence = FENCE.exec(line);
    if (!line.trim()) {
      index++;
    } else if (fence) {
      index++;
      const code = takeWhile((each) => !each.trim().startsWith(fence[1]));
      index++;
      blocks.append(create("pre", { tabindex: "0" }, create("code", {}, code.join("\n"))));
    } else if (RULE.test(line)) {
      index++;
      blocks.append(create("hr"));
    } else if (depth < MAX_DEPTH && QUOTE.test(line)) {
      const quoted = takeWhile((each) => QUOTE.test(each)).map((each) => each.replace(QUOTE, ""));
      blocks.append(create("blockquote", {}, renderBlocks(quoted, depth + 1)));
    } else if (depth < MAX_DEPTH && ITEM.test(line)) {
      blocks.append(renderList(takeWhile((each, offset) => offset === 0 || isListLine(each, line)), depth));
    } else if (line.includes("|") && TABLE_LINE.test(lines[index + 1] ?? "")) {
      blocks.append(renderTable(takeWhile((each) => each.includes("|"))));
    } else {
      const heading = HEADING.exec(line);
      if (heading) index++;
      const paragraph = heading ? [heading[1]] : takeWhile((each, offset) => offset === 0 || !startsBlock(each));
      blocks.append(create("p", {}, heading ? create("strong", {}, renderInline(heading[1], depth)) : renderInline(paragraph.join("\n").trim(), depth)));
    }
  }
  return blocks;
}

const startsBlock = (line) => !line.trim() || FENCE.test(line) || QUOTE.test(line) || ITEM.test(line) || HEADING.test(line);

/** Return whether *line* continues the list that starts with *first*. */
function isListLine(line, first) {
  const item = ITEM.exec(line);
  return item ? Boolean(item[1]) === Boolean(ITEM.exec(first)[1]) : /^\s{2,}\S/.test(line) || (line.trim() !== "" && !startsBlock(line));
}

function renderList(lines, depth) {
  const number = ITEM.exec(lines[0])[1];
  const items = [];
  for (const line of lines) {
    const marker = ITEM.exec(line);
    if (marker) items.push([line.slice(marker[0].length)]);
    else items.at(-1).push(line.replace(/^ {1,4}/, ""));
  }
  const children = items.map((item) => {
    const content = renderBlocks(item, depth + 1);
    const only = content.children.length === 1 && content.firstChild.localName === "p" ? [...content.firstChild.childNodes] : content;
    return create("li", {}, only);
  });
  return create(number ? "ol" : "ul", { start: number && number !== "1" ? number : null }, children);
}

function renderTable([head, , ...rows]) {
  const split = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim());
  const row = (line, name) => create("tr", {}, split(line).map((cell) => create(name, {}, renderInline(cell, 0))));
  return create("div", { class: "table", tabindex: "0", role: "group" }, create("table", {}, create("thead", {}, row(head, "th")), create("tbody", {}, rows.map((line) => row(line, "td")))));
}

function renderInline(text, depth) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > end) nodes.push(text.slice(end, match.index));
    nodes.push(renderMatch(match.groups, match[0], depth));
    end = match.index + match[0].length;
  }
  if (end < text.length) nodes.push(text.slice(end));
  return nodes;
}

function renderMatch(found, source, depth) {
  const inner = (text) => (depth < MAX_DEPTH ? renderInline(text, depth + 1) : [text]);
  if (found.escape) return found.escape[1];
  if (found.code !== undefined) return create("code", {}, found.code.replace(/\n/g, " ").replace(/^ (.*\S.*) $/, "$1"));
  if (found.target) return createLink(found.target, found.label ? inner(found.label) : [found.target], source);
  if (found.auto || found.url) return createLink(found.auto ?? found.url, [(found.auto ?? found.url).replace(/^mailto:/, "")], source);
  if (found.bold) return create("strong", {}, inner(found.bold));
  if (found.strike) return create("del", {}, inner(found.strike));
  if (found.italic) return create("em", {}, inner(found.italic));
  return create("br");
}

/** Return a link that opens a new tab, or *source* as text if the address may not be opened. */
export function createLink(url, children, source = url) {
  if (!SAFE_URL.test(url)) return document.createTextNode(source);
  return create("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, children);
}
