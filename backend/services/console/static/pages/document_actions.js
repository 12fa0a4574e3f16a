// Actions on one document (row menu) and on selected documents (bar at the lower edge).

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { consolePath, navigate } from "../lib/router.js";
import * as library from "../model/library.js";
import { can } from "../model/session.js";
import { askForText, confirmAction, openDialog } from "../ui/dialog.js";
import { icon } from "../ui/icon.js";
import { reportErrors, showError, showNotice } from "../ui/notice.js";

/** Return the items of the menu of *document*. *list* is updated by the actions. */
export function documentMenu(list, document) {
  const { id, title, filename } = document;
  const canChange = can("rag:write") && library.isWritable(document.collection);
  const open = { label: t("showDetails"), icon: "info", href: consolePath(`/documents/${encodeURIComponent(id)}`) };
  const download = { label: t("downloadOriginal"), icon: "download", href: library.getContentUrl(id), download: filename };
  if (!canChange) return [open, download];
  return [
    open,
    download,
    null,
    { label: t("renameDocument"), icon: "edit", onSelect: () => renameDocument(list, document) },
    { label: t("moveToCollection"), icon: "folder", onSelect: () => moveDocuments(list, [document]) },
    { label: t("reindex"), icon: "repeat", onSelect: () => reindexDocuments(list, [document]) },
    null,
    { label: t("delete"), icon: "trash", isDanger: true, onSelect: () => deleteDocuments(list, [document], title) },
  ];
}

export async function renameDocument(list, { id, title }) {
  const changed = await askForText({ title: t("renameDocument"), label: t("documentTitle"), value: title, maxlength: 300 });
  if (!changed || changed === title) return;
  const document = await reportErrors(library.updateDocument(id, { title: changed }));
  if (document) list.apply(document);
}

/** Ask for a collection and move *documents* there. */
export async function moveDocuments(list, documents) {
  const name = await askForCollection(documents.length === 1 ? documents[0].collection : "");
  if (!name) return;
  const moved = [];
  const result = await library.runForAll(documents, async ({ id }) => moved.push(await library.updateDocument(id, { collection: name })));
  for (const document of moved) list.apply(document);
  report(result, t("documentsMoved", result.done.length, name));
}

export async function reindexDocuments(list, documents) {
  const result = await library.runForAll(documents, async ({ id }) => list.apply(await library.reindexDocument(id)));
  report(result, t("documentsReindexed", result.done.length));
}

/** Ask, then delete *documents*. Resolves to the deleted ones. */
export async function deleteDocuments(list, documents, title = null) {
  const isConfirmed = await confirmAction({
    title: title === null ? t("deleteDocuments", documents.length) : t("deleteDocument", title),
    text: t("deleteDocumentsText"),
    action: t("delete"),
    isDanger: true,
  });
  if (!isConfirmed) return [];
  const result = await library.runForAll(documents, ({ id }) => library.deleteDocument(id));
  list.drop(new Set(result.done.map(({ id }) => id)));
  report(result, t("documentsDeleted", result.done.length));
  return result.done;
}

function report({ done, failed }, text) {
  if (done.length) showNotice(text);
  if (failed.length === 1) showError(failed[0].error);
  else if (failed.length > 1) showError(Object.assign(new Error(), { name: "ApiError", errors: [], message: t("someFailed", failed.length, failed[0].error.message) }));
}

function askForCollection(current) {
  const names = (library.collections.peek() ?? []).filter(({ access }) => access === "write").map(({ name }) => name);
  const input = html.input({ class: "input", value: current, list: "collection-names", required: true, maxlength: 64, dir: "auto", autocomplete: "off", autofocus: true });
  const { closed } = openDialog({
    title: t("moveToCollection"),
    content: (close) =>
      html.form(
        {
          class: "dialog-form",
          onsubmit: (event) => {
            event.preventDefault();
            close(input.value.trim());
          },
        },
        html.label({ class: "field" }, html.span(t("collection")), input),
        html.datalist({ id: "collection-names" }, names.map((name) => html.option({ value: name }))),
        html.div({ class: "actions" }, html.button({ type: "button", class: "button", onclick: () => close(null) }, t("cancel")), html.button({ class: "button primary" }, t("move"))),
      ),
  });
  input.select();
  return closed;
}

/** Return the bar with the actions for the selected documents. */
export function selectionBar(list, selected) {
  const getSelected = () => list.items.peek().filter(({ id }) => selected.peek().has(id));
  const run = async (action) => {
    await action(list, getSelected());
    selected.value = new Set();
  };
  const button = (key, name, action, className = "button plain") =>
    html.button({ type: "button", class: className, onclick: () => run(action) }, icon(name), html.span(t(key)));
  return html.div(
    { class: "selection-bar", role: "region", "aria-label": t("selection"), hidden: () => selected.value.size === 0 },
    html.strong({ role: "status" }, () => t("selectedCount", selected.value.size)),
    button("move", "folder", moveDocuments),
    button("reindex", "repeat", reindexDocuments),
    button("delete", "trash", deleteDocuments, "button plain danger"),
    html.button({ type: "button", class: "button plain", onclick: () => (selected.value = new Set()) }, t("clearSelection")),
  );
}

/** Go back to the list after the shown document was deleted. */
export async function deleteShownDocument(document) {
  const list = { drop() {}, apply() {} };
  const deleted = await deleteDocuments(list, [document], document.title);
  if (deleted.length) navigate("/documents");
}
