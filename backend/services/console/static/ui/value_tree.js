// A JSON value as nested lists of names and values.

import { html } from "../lib/dom.js";
import { formatNumber } from "../lib/i18n.js";

const OPEN_LEVELS = 1;

/** Return an element with *value*. Objects and arrays within it can be opened, the first level is. */
export function valueTree(value, level = 0) {
  if (!isNested(value)) return html.span({ class: "tree-value", dir: "auto" }, typeof value === "string" ? value : JSON.stringify(value));
  return html.dl({ class: "value-tree" }, listEntries(value).map(([name, item]) => html.div(html.dt({ dir: "auto" }, name), html.dd(entry(item, level)))));
}

const isNested = (value) => value !== null && typeof value === "object" && Object.keys(value).length > 0;

/** Return pairs of names and values. Items of an array are numbered from one. */
const listEntries = (value) => (Array.isArray(value) ? value.map((item, index) => [formatNumber(index + 1), item]) : Object.entries(value));

function entry(value, level) {
  if (!isNested(value)) return valueTree(value);
  return html.details({ open: level < OPEN_LEVELS }, html.summary({ dir: "auto" }, getSummary(value)), valueTree(value, level + 1));
}

/** Return a short text for *value*: its number of items, or its names. */
const getSummary = (value) => (Array.isArray(value) ? `[${formatNumber(value.length)}]` : `{ ${Object.keys(value).join(", ")} }`);
