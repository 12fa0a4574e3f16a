// The table of documents.

import { html } from "../lib/dom.js";
import { formatBytes, formatDateTime, formatNumber, formatRelativeTime, plural, t } from "../lib/i18n.js";
import { consolePath } from "../lib/router.js";
import { can } from "../model/session.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { createSelectCell, heading, selectAllCell, selectableTable } from "../ui/selectable_table.js";
import { documentMenu } from "./document_actions.js";
import { documentState } from "./document_state.js";

const ROW_HEIGHT = 60;

/** @param {import("../model/library.js").DocumentList} list @param {Element} scroller */
export function documentTable(list, selected, scroller) {
  const isSelectable = can("rag:write");
  const selectCell = createSelectCell(list, selected);
  return selectableTable({
    list,
    label: t("documents"),
    className: `document-table${isSelectable ? " selectable" : ""}`,
    rowHeight: ROW_HEIGHT,
    head: [
      isSelectable && selectAllCell(list, selected, t("selectAll")),
      heading("name", "cell-name"),
      heading("collection", "cell-collection"),
      heading("pages", "cell-pages"),
      heading("size", "cell-size"),
      heading("added", "cell-added"),
      heading("state", "cell-state"),
      html.div({ role: "columnheader", class: "cell-menu" }, html.span({ class: "visually-hidden" }, t("actions"))),
    ],
    renderRow: (document, index) => documentRow(list, selected, document, isSelectable && selectCell(document, index, t("selectDocument", document.title))),
    getCountText: (count) => getCountText(list, count),
    scroller,
  });
}

function documentRow(list, selected, document, selectCell) {
  const { id, title, filename } = document;
  return html.div(
    { class: () => `document-row${selected.value.has(id) ? " selected" : ""}` },
    selectCell,
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

/** Return the number of documents as a text: "200+ documents" while more can be loaded. */
function getCountText(list, count) {
  const text = plural(count, { one: t("documentCountOne"), other: t("documentCountOther") });
  return list.isComplete.value ? text : t("orMore", text);
}
