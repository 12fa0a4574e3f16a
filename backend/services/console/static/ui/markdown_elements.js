// Elements of Markdown: the parsed tree becomes elements of a fixed list and text nodes.
//
// A marker `[n]` becomes `button.citation[data-marker=n]` if the citations have that marker, else
// text. Images become links: no answer loads a URL.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { parseInlines } from "../lib/markdown/inlines.js";
import { renderCodeBlock } from "./code_block.js";
import { renderFormula } from "./formula.js";

const CELL_CLASSES = { center: "align-center", end: "align-end", start: "align-start" };

/**
 * What the elements of one text depend on.
 *
 * @typedef {object} RenderOptions
 * @property {{marker: number, filename?: string, page?: number}[] | null} [citations] null: not known yet
 * @property {boolean} [isOpen] the text is still being written
 */

/** Return one element per block. */
export const renderBlocks = (blocks, options) => blocks.map((block) => renderBlock(block, options));

/** @returns {Element} */
export function renderBlock(block, options) {
  switch (block.type) {
    case "heading": return renderHeading(block, options);
    case "code": return renderCodeBlock(block);
    case "math": return html.p({}, renderFormula(block.tex, { isDisplay: true, isOpen: !block.isClosed }));
    case "quote": return html.blockquote({ dir: "auto" }, renderBlocks(block.blocks, options));
    case "list": return renderList(block, options);
    case "table": return renderTable(block, options);
    case "rule": return html.hr();
    default: return html.p({ dir: "auto" }, renderText(block.text, options));
  }
}

/** Headings of an answer start below the heading of the page. */
function renderHeading({ level, text }, options) {
  return html[`h${Math.min(6, level + 1)}`]({ dir: "auto" }, renderText(text, options));
}

function renderList(list, options) {
  const isNumbered = list.number !== null;
  const attributes = isNumbered && list.number !== 1 ? { start: list.number } : {};
  const items = list.items.map((item) => renderItem(item, list.isLoose, options));
  return html[isNumbered ? "ol" : "ul"](attributes, items);
}

/** Return the `li` of *item*. The paragraphs of a tight list are plain text. */
export function renderItem({ blocks, checked }, isLoose, options) {
  const content = blocks.flatMap((block) =>
    block.type === "paragraph" && !isLoose ? renderText(block.text, options) : [renderBlock(block, options)],
  );
  if (checked === null) return html.li({ dir: "auto" }, content);
  const box = html.input({ type: "checkbox", checked, disabled: true, "aria-label": t(checked ? "taskDone" : "taskOpen") });
  return html.li({ class: "task", dir: "auto" }, box, html.div({}, content));
}

/** A table scrolls in its own box, which the keyboard can reach. */
function renderTable(table, options) {
  const cell = (tag, text, column, attributes = {}) =>
    html[tag]({ ...attributes, class: CELL_CLASSES[table.align[column]], dir: "auto" }, renderText(text, options));
  return html.div(
    { class: "table-scroll", tabindex: "0", role: "group", "aria-label": t("table") },
    html.table(
      {},
      html.thead({}, html.tr({}, table.head.map((text, column) => cell("th", text, column, { scope: "col" })))),
      html.tbody({}, table.rows.map((row) => html.tr({}, row.map((text, column) => cell("td", text, column))))),
    ),
  );
}

/** Return the nodes of a paragraph, heading or cell. */
const renderText = (text, options) => renderInlines(parseInlines(text, options.isOpen), options);

const renderInlines = (nodes, options) => nodes.map((node) => renderInline(node, options));

function renderInline(node, options) {
  switch (node.type) {
    case "code": return html.code({ dir: "ltr", translate: "no" }, node.text);
    case "em": case "strong": case "del": return html[node.type]({}, renderInlines(node.children, options));
    case "link": return renderLink(node, options);
    case "break": return html.br();
    case "math": return renderFormula(node.tex, { isDisplay: node.isDisplay, isOpen: options.isOpen });
    case "citation": return renderCitations(node, options.citations);
    default: return document.createTextNode(node.text);
  }
}

/** Pages of this console are shown in its window, others in a new one. */
function renderLink({ href, children }, options) {
  if (href.startsWith("/")) return html.a({ href }, renderInlines(children, options));
  return html.a({ href, target: "_blank", rel: "noopener noreferrer nofollow" }, renderInlines(children, options));
}

/** Return the markers of `[1, 2]` as buttons, or its text if no citation has one of them. */
function renderCitations({ markers, source }, citations) {
  if (citations === null) {
    const places = markers.map((marker) => html.span({ class: "citation" }, String(marker)));
    return html.span({ class: "pending-citations", dataset: { source } }, places);
  }
  const known = markers.filter((marker) => citations.some((each) => each.marker === marker));
  return known.length ? known.map((marker) => renderMarker(marker, citations)) : document.createTextNode(source);
}

function renderMarker(marker, citations) {
  const { filename = "", page = null } = citations.find((each) => each.marker === marker);
  const label = t("sourceLabel", marker, filename, page);
  return html.button({ type: "button", class: "citation", "data-marker": marker, "aria-label": label }, String(marker));
}

/** Turn the markers below *root* that waited for *citations* into buttons or text. */
export function resolveMarkers(root, citations) {
  for (const pending of root.querySelectorAll(".pending-citations")) {
    const { source } = pending.dataset;
    const markers = source.slice(1, -1).split(",").map(Number);
    pending.replaceWith(...[renderCitations({ markers, source }, citations)].flat());
  }
}
