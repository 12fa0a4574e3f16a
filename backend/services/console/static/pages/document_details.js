// One document: its data, metadata, and chunks with the reason why a question finds them.

import { html, replaceChildren } from "../lib/dom.js";
import { formatBytes, formatDateTime, formatNumber, plural, t } from "../lib/i18n.js";
import { effect, onDispose, signal } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import * as library from "../model/library.js";
import { can, user } from "../model/session.js";
import { icon } from "../ui/icon.js";
import { reportErrors } from "../ui/notice.js";
import { asyncContent } from "../ui/states.js";
import { chunkView } from "./chunk_view.js";
import { deleteShownDocument, moveDocuments, renameDocument } from "./document_actions.js";
import { documentState, getFailureText } from "./document_state.js";
import { editMetadata } from "./metadata_dialog.js";

const POLL_MS = 2000;

/** @param {{id: string}} parameters */
export function page({ id }) {
  reportErrors(library.loadCollections());
  return html.div({ class: "page-frame" }, asyncContent(() => library.getDocument(id), documentView));
}

function documentView(loaded) {
  const shown = signal(loaded);
  const list = { apply: (document) => (shown.value = document), drop() {} };
  followProcessing(shown);
  const body = html.div({ class: "details" });
  effect(() => replaceChildren(body, [header(shown.value, list), facts(shown.value), attachments(shown.value), metadata(shown.value, list)]));
  const chunks = html.div();
  let version = null;
  effect(() => {
    const { status, chunks: count, title } = shown.value;
    const next = `${status} ${count} ${title}`;
    if (next !== version) replaceChildren(chunks, status === "ready" ? chunkView(shown.value) : null);
    version = next;
  });
  return [body, chunks];
}

function followProcessing(shown) {
  const timer = setInterval(async () => {
    if (!library.isProcessing(shown.peek()) || document.hidden) return;
    shown.value = await library.getDocument(shown.peek().id).catch(() => shown.peek());
  }, POLL_MS);
  onDispose(() => clearInterval(timer));
}

function header(document, list) {
  const canChange = can("rag:write") && library.isWritable(document.collection);
  const button = (key, name, onclick, className = "button") => html.button({ type: "button", class: className, onclick }, icon(name), t(key));
  return html.header(
    { class: "page-header details-header" },
    html.a({ class: "back-link", href: consolePath("/documents") }, icon("arrow-left"), t("documents")),
    html.h1({ class: "title", dir: "auto" }, document.title),
    html.div(
      { class: "actions" },
      html.a({ class: "button", href: library.getContentUrl(document.id), download: document.filename }, icon("download"), t("downloadOriginal")),
      canChange && [
        button("rename", "edit", () => renameDocument(list, document)),
        button("move", "folder", () => moveDocuments(list, [document])),
        button("reindex", "repeat", async () => list.apply(await reportErrors(library.reindexDocument(document.id)) ?? document)),
        button("delete", "trash", () => deleteShownDocument(document), "button danger"),
      ],
    ),
  );
}

function facts(document) {
  const owner = document.owner_id === user.value?.id ? t("you") : document.owner_id;
  const rows = [
    [t("state"), documentState(document)],
    [t("fileName"), html.span({ dir: "auto" }, document.filename)],
    [t("collection"), html.a({ href: `${consolePath("/documents")}?collection=${encodeURIComponent(document.collection)}`, dir: "auto" }, document.collection)],
    [t("fileType"), document.content_type],
    [t("size"), formatBytes(document.size_bytes)],
    [t("pages"), document.pages === null ? "–" : formatNumber(document.pages)],
    [t("added"), formatDateTime(document.created_at)],
    [t("owner"), owner],
  ];
  return [
    document.status === "failed" && html.p({ class: "failure", role: "alert" }, getFailureText(document)),
    document.warnings.map(({ detail }) => html.p({ class: "warning-box" }, icon("warning"), html.span(detail))),
    html.dl({ class: "facts" }, rows.map(([name, value]) => html.div(html.dt(name), html.dd(value)))),
  ];
}

function attachments({ attachments: items, attachment_of: parent }) {
  const link = (id, text) => html.a({ href: consolePath(`/documents/${encodeURIComponent(id)}`), dir: "auto" }, text);
  return [
    parent && html.p(link(parent, t("attachmentOf"))),
    items.length > 0 && html.section(
      { class: "details-section" },
      html.h2(plural(items.length, { one: t("attachmentOne"), other: t("attachmentOther") })),
      html.ul(
        { class: "plain-list" },
        items.map((item) => html.li(item.document_id ? link(item.document_id, item.filename) : html.span({ dir: "auto" }, item.filename), " ", html.span({ class: "faint" }, formatBytes(item.size_bytes)), item.error && html.span({ class: "field-error" }, item.error.detail))),
      ),
    ),
  ];
}

function metadata(document, list) {
  const entries = Object.entries(document.metadata);
  const canChange = can("rag:write") && library.isWritable(document.collection);
  const edit = async () => {
    const changed = await editMetadata(document);
    if (changed) list.apply(changed);
  };
  return html.section(
    { class: "details-section" },
    html.h2(t("metadata")),
    entries.length
      ? html.dl({ class: "facts" }, entries.map(([name, value]) => html.div(html.dt({ dir: "auto" }, name), html.dd({ dir: "auto" }, typeof value === "string" ? value : JSON.stringify(value)))))
      : html.p({ class: "faint" }, t("noMetadata")),
    canChange && html.button({ type: "button", class: "button", onclick: edit }, icon("edit"), t("editMetadata")),
  );
}
