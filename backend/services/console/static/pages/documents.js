// Documents: filters, upload, list with selection and actions.

import { html, renderOnChange } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { computed, effect, onDispose, signal } from "../lib/reactive.js";
import { route, updateQuery } from "../lib/router.js";
import { DocumentList, collections, loadCollections } from "../model/library.js";
import { can } from "../model/session.js";
import { addFiles, onDocumentChange } from "../model/uploads.js";
import { chooseFiles } from "../ui/files.js";
import { icon } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors } from "../ui/notice.js";
import { emptyState, errorState, skeleton } from "../ui/states.js";
import { documentTable } from "./document_table.js";
import { libraryTabs } from "./library_tabs.js";
import { selectionBar } from "./document_actions.js";
import { uploadList } from "./upload_list.js";

const SEARCH_DELAY_MS = 250;
const STATES = ["ready", "processing", "queued", "failed"];

export function page() {
  const list = new DocumentList();
  const selected = signal(new Set());
  const filter = computed(readFilter);
  effect(() => {
    list.load(JSON.parse(filter.value));
    selected.value = new Set();
  });
  list.startPolling();
  onDispose(() => list.stopPolling());
  onDispose(onDocumentChange((document) => list.apply(document)));
  reportErrors(loadCollections());

  return html.div(
    { class: "page-frame" },
    html.header(
      { class: "page-header" },
      html.h1({ class: "title" }, t("documents")),
      libraryTabs(),
      can("rag:write") && addButton(),
    ),
    filterBar(),
    html.div({ class: "library-uploads" }, uploadList()),
    html.div({ class: "page-body" }, documentArea(list, selected)),
    selectionBar(list, selected),
  );
}

/** Return the filter of the address as JSON, so that equal filters are equal values. */
function readFilter() {
  const { query } = route.value;
  return JSON.stringify({ q: query.get("q") ?? "", collection: query.get("collection") ?? "", status: query.get("status") ?? "" });
}

const isFiltered = () => ["q", "collection", "status"].some((name) => route.peek().query.get(name));

function addButton() {
  const collection = () => route.peek().query.get("collection") || null;
  const add = (items) => addFiles(items, { collection: collection() });
  const button = html.button({ type: "button", class: "button primary" }, icon("upload"), t("addDocuments"));
  return menuButton(button, () => [
    { label: t("addFiles"), icon: "file", onSelect: () => chooseFiles(add) },
    { label: t("addFolder"), icon: "folder", onSelect: () => chooseFiles(add, { isFolder: true }) },
  ], { align: "end" });
}

function filterBar() {
  let timer = 0;
  const search = (event) => {
    clearTimeout(timer);
    const text = event.currentTarget.value.trim();
    timer = setTimeout(() => updateQuery({ q: text }), SEARCH_DELAY_MS);
  };
  const { query } = route.peek();
  return html.div(
    { class: "filter-bar", role: "search", "aria-label": t("filterDocuments") },
    html.div(
      { class: "search-field" },
      icon("search"),
      html.input({ class: "input", type: "search", value: query.get("q") ?? "", maxlength: 200, dir: "auto", placeholder: t("searchTitles"), "aria-label": t("searchTitles"), oninput: search }),
    ),
    collectionFilter(),
    filterSelect("status", t("state"), [["", t("allStates")], ...STATES.map((state) => [state, t(`state_${state}`)])]),
  );
}

function collectionFilter() {
  const options = () => {
    const current = route.peek().query.get("collection");
    const names = new Set((collections.value ?? []).map(({ name }) => name));
    if (current) names.add(current);
    return [["", t("allCollections")], ...[...names].map((name) => [name, name])];
  };
  return html.div({ class: "filter-slot" }, () => filterSelect("collection", t("collection"), options()));
}

function filterSelect(name, label, options) {
  const current = route.peek().query.get(name) ?? "";
  return html.select(
    { class: "input", "aria-label": label, onchange: (event) => updateQuery({ [name]: event.currentTarget.value }) },
    options.map(([value, text]) => html.option({ value, selected: value === current }, text)),
  );
}

/** The table follows the list by itself: it is rendered again only if the kind of content changes. */
function documentArea(list, selected) {
  const getKind = () => {
    if (list.error.value) return list.error.value;
    if (list.items.value === null) return "loading";
    if (list.items.value.length) return "table";
    return isFiltered() ? "filtered" : "empty";
  };
  return renderOnChange(getKind, (kind) => {
    if (kind === "loading") return skeleton(8);
    if (kind === "table") return documentTable(list, selected, document.getElementById("main"));
    if (kind === "filtered") return emptyState(t("noMatchingDocuments"), html.button({ type: "button", class: "button", onclick: clearFilter }, t("clearFilter")));
    if (kind === "empty") return emptyState(t(can("rag:write") ? "noDocuments" : "noReadableDocuments"));
    return errorState(kind, () => list.load(JSON.parse(readFilter())));
  });
}

function clearFilter() {
  for (const input of document.querySelectorAll(".filter-bar :is(input, select)")) input.value = "";
  updateQuery({ q: null, collection: null, status: null });
}
