// Collections: create, rename, delete, and share with the tenant or with single users.

import { html } from "../lib/dom.js";
import { formatDate, t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import * as library from "../model/library.js";
import { can, user } from "../model/session.js";
import { confirmAction, openDialog } from "../ui/dialog.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { getErrorText, reportErrors } from "../ui/notice.js";
import { emptyState, errorState, skeleton } from "../ui/states.js";
import { libraryTabs } from "./library_tabs.js";
import { shareCollection } from "./share_dialog.js";

export function page() {
  const error = signal(null);
  const load = async () => {
    error.value = null;
    try {
      await library.loadCollections();
    } catch (failure) {
      error.value = failure;
    }
  };
  load();
  return html.div(
    { class: "page-frame" },
    html.header(
      { class: "page-header" },
      html.h1({ class: "title" }, t("collections")),
      libraryTabs(),
      can("rag:write") && html.button({ type: "button", class: "button primary", onclick: () => editCollection(null) }, icon("plus"), t("newCollection")),
    ),
    html.div({ class: "page-body" }, () => {
      if (error.value) return errorState(error.value, load);
      if (library.collections.value === null) return skeleton(5);
      if (!library.collections.value.length) return emptyState(t("noCollections"));
      return collectionTable(library.collections.value);
    }),
  );
}

function collectionTable(items) {
  return html.div(
    { class: "table-scroll", tabindex: "0", role: "group", "aria-label": t("collections") },
    html.table(
      { class: "table card-table", "aria-label": t("collections") },
      html.thead(html.tr(["name", "sharing", "owner", "created"].map((key) => html.th({ scope: "col" }, t(key))), html.th({ scope: "col" }, html.span({ class: "visually-hidden" }, t("actions"))))),
      html.tbody(items.map(collectionRow)),
    ),
  );
}

function collectionRow(collection) {
  const isOwner = collection.owner_id === user.value?.id;
  return html.tr(
    html.td(
      { "data-label": t("name") },
      html.a({ href: `${consolePath("/documents")}?collection=${encodeURIComponent(collection.name)}`, dir: "auto" }, collection.name),
      collection.description && html.div({ class: "faint", dir: "auto" }, collection.description),
    ),
    html.td({ "data-label": t("sharing") }, getSharingText(collection, isOwner)),
    html.td({ "data-label": t("owner") }, isOwner ? t("you") : html.span({ class: "truncate" }, collection.owner_id)),
    html.td({ "data-label": t("created") }, formatDate(collection.created_at)),
    html.td({ class: "end" }, isOwner && can("rag:write") && collectionMenu(collection)),
  );
}

/** Return "Private", "Shared with 2 people", "Everyone can read", or the user's own access. */
function getSharingText({ tenant_access: tenantAccess, access, grants }, isOwner) {
  if (!isOwner) return t(access === "write" ? "canWrite" : "canRead");
  const people = Object.keys(grants).length;
  const parts = [tenantAccess !== "none" && t(tenantAccess === "write" ? "tenantWrites" : "tenantReads"), people > 0 && t("sharedWith", people)].filter(Boolean);
  return parts.length ? parts.join(", ") : t("private");
}

function collectionMenu(collection) {
  return menuButton(iconButton("more", t("collectionActions", collection.name), { class: "small" }), () => [
    { label: t("share"), icon: "share", onSelect: () => shareCollection(collection) },
    { label: t("edit"), icon: "edit", onSelect: () => editCollection(collection) },
    null,
    { label: t("delete"), icon: "trash", isDanger: true, onSelect: () => removeCollection(collection) },
  ], { align: "end" });
}

async function removeCollection({ id, name }) {
  const isConfirmed = await confirmAction({ title: t("deleteCollection", name), text: t("deleteCollectionText"), action: t("delete"), isDanger: true });
  if (isConfirmed) await reportErrors(library.deleteCollection(id).then(library.loadCollections));
}

/** Create a collection, or change name and description of *collection*. */
function editCollection(collection) {
  const error = html.p({ class: "field-error", role: "alert" });
  openDialog({
    title: collection ? t("editCollection", collection.name) : t("newCollection"),
    content: (close) => {
      const save = async (event) => {
        event.preventDefault();
        const { name, description } = event.currentTarget.elements;
        const fields = { name: name.value.trim(), description: description.value.trim() };
        try {
          await (collection ? library.updateCollection(collection.id, fields) : library.createCollection(fields));
          await library.loadCollections();
          close();
        } catch (failure) {
          error.textContent = failure.errors?.[0]?.pointer === "#/name" ? t("collectionNameRule") : getErrorText(failure);
        }
      };
      return html.form(
        { class: "dialog-form", onsubmit: save },
        html.label({ class: "field" }, html.span(t("name")), html.input({ class: "input", name: "name", value: collection?.name ?? "", required: true, maxlength: 64, dir: "auto", autocomplete: "off", autofocus: true })),
        html.label({ class: "field" }, html.span(t("description")), html.textarea({ class: "input", name: "description", maxlength: 1000, rows: 3, dir: "auto", value: collection?.description ?? "" })),
        error,
        html.div({ class: "actions" }, html.button({ type: "button", class: "button", onclick: () => close() }, t("cancel")), html.button({ class: "button primary" }, t("save"))),
      );
    },
  });
}
