// The table of documents: rows in view only, selection with Shift and the keyboard.

import { html } from "../lib/dom.js";
import { formatBytes, formatDateTime, formatNumber, formatRelativeTime, plural, t } from "../lib/i18n.js";
import { consolePath } from "../lib/router.js";
import { createVirtualList } from "../lib/virtual_list.js";
import { can } from "../model/session.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors } from "../ui/notice.js";
import { documentMenu } from "./document_actions.js";
import { documentState } from "./document_state.js";

const ROW_HEIGHT = 60;

/** @param {import("../model/library.js").DocumentList} list @param {Element} scroller */
export function documentTable(list, selected, scroller) {
  const rows = createVirtualList({
    items: () => list.documents.value ?? [],
    rowHeight: ROW_HEIGHT,
    key: ({ id }) => id,
    render: (document, index) => documentRow(list, selected, document, index),
    onEnd: () => reportErrors(list.loadMore()),
    role: "rowgroup",
    rowRole: "row",
    scroller,
  });
  const table = html.div(
    { class: `document-table${can("rag:write") ? " selectable" : ""}`, role: "table", "aria-label": t("documents"), "aria-rowcount": () => (list.isComplete.value ? (list.documents.value?.length ?? 0) + 1 : -1) },
    html.div({ role: "rowgroup", class: "document-head" }, headRow(list, selected)),
    rows.element,
  );
  return [table, html.p({ class: "faint table-count", role: "status" }, () => getCountText(list))];
}

function headRow(list, selected) {
  const heading = (key, className) => html.div({ role: "columnheader", class: className }, t(key));
  return html.div(
    { class: "document-row", role: "row", "aria-rowindex": "1" },
    can("rag:write") && html.div({ role: "columnheader", class: "cell-select" }, selectAll(list, selected)),
    heading("name", "cell-name"),
    heading("collection", "cell-collection"),
    heading("pages", "cell-pages"),
    heading("size", "cell-size"),
    heading("added", "cell-added"),
    heading("state", "cell-state"),
    html.div({ role: "columnheader", class: "cell-menu" }, html.span({ class: "visually-hidden" }, t("actions"))),
  );
}

function selectAll(list, selected) {
  const isAll = () => selected.value.size > 0 && selected.value.size === list.documents.value?.length;
  return html.input({
    type: "checkbox",
    "aria-label": t("selectAll"),
    checked: isAll,
    indeterminate: () => selected.value.size > 0 && !isAll(),
    onchange: (event) => {
      selected.value = new Set(event.currentTarget.checked ? list.documents.peek().map(({ id }) => id) : []);
    },
  });
}

function documentRow(list, selected, document, index) {
  const { id, title, filename } = document;
  return html.div(
    { class: () => `document-row${selected.value.has(id) ? " selected" : ""}` },
    can("rag:write") && html.div({ role: "cell", class: "cell-select" }, selectBox(list, selected, document, index)),
    html.div(
      { role: "cell", class: "cell-name" },
      icon("file"),
      html.div(
        { class: "cell-title" },
        html.a({ class: "truncate", href: consolePath(`/documents/${encodeURIComponent(id)}`), dir: "auto", dataset: { focus: "title" } }, title),
        html.div({ class: "cell-note truncate" }, html.span({ class: "faint truncate", dir: "auto" }, getPath(document) + filename), html.span({ class: "cell-note-state" }, documentState(document))),
      ),
    ),
    html.div({ role: "cell", class: "cell-collection truncate", dir: "auto" }, document.collection),
    html.div({ role: "cell", class: "cell-pages number" }, document.pages === null ? "–" : formatNumber(document.pages)),
    html.div({ role: "cell", class: "cell-size number" }, formatBytes(document.size_bytes)),
    html.div({ role: "cell", class: "cell-added" }, html.time({ datetime: document.created_at, title: formatDateTime(document.created_at) }, formatRelativeTime(document.created_at))),
    html.div({ role: "cell", class: "cell-state" }, documentState(document)),
    html.div(
      { role: "cell", class: "cell-menu" },
      menuButton(iconButton("more", t("documentActions", title), { class: "small", dataset: { focus: "menu" } }), () => documentMenu(list, document), { align: "end" }),
    ),
  );
}

const getPath = ({ metadata }) => (typeof metadata.path === "string" && metadata.path ? `${metadata.path}/` : "");

let lastIndex = null;

function selectBox(list, selected, { id, title }, index) {
  return html.input({
    type: "checkbox",
    "aria-label": t("selectDocument", title),
    dataset: { focus: "select" },
    checked: () => selected.value.has(id),
    onclick: (event) => {
      const documents = list.documents.peek();
      const from = event.shiftKey && lastIndex !== null ? Math.min(lastIndex, index) : index;
      const to = event.shiftKey && lastIndex !== null ? Math.max(lastIndex, index) : index;
      const next = new Set(selected.peek());
      for (const each of documents.slice(from, to + 1)) {
        if (event.currentTarget.checked) next.add(each.id);
        else next.delete(each.id);
      }
      lastIndex = index;
      selected.value = next;
    },
  });
}

/** Return the number of documents as a text: "200+ documents" while more can be loaded. */
function getCountText(list) {
  const count = list.documents.value?.length ?? 0;
  const text = plural(count, { one: t("documentCountOne"), other: t("documentCountOther") });
  return list.isComplete.value ? text : t("orMore", text);
}
