// Card of a contact: name, addresses, attributes; edit, block, merge with another contact.

import * as api from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatDate, t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { askForText, confirmAction, openDialog } from "../ui/dialog.js";
import { icon } from "../ui/icon.js";
import { reportErrors, showNotice } from "../ui/notice.js";
import { asyncContent, emptyState } from "../ui/states.js";

const SEARCH_DELAY_MS = 250;

/** Show the contact. *onMerge* is called with the id of the contact that remains. */
export function contactCard(id, onMerge) {
  const path = `/chat/contacts/${encodeURIComponent(id)}`;
  const body = html.div();
  const show = () => replaceChildren(body, asyncContent(() => api.get(path), (contact) => card(path, contact, show, onMerge)));
  openDialog({ title: t("contactCard"), hasCloseButton: true, content: () => body });
  show();
}

function card(path, contact, show, onMerge) {
  const update = async (changes) => (await reportErrors(api.patch(path, changes))) && show();
  const rename = async () => {
    const name = await askForText({ title: t("renameContact"), label: t("name"), value: contact.name, maxlength: 200 });
    if (name) await update({ name });
  };
  const block = async () => {
    const isConfirmed = contact.is_blocked || (await confirmAction({ title: t("blockContact", contact.name || t("unknownContact")), text: t("blockContactText"), action: t("block"), isDanger: true }));
    if (isConfirmed) await update({ is_blocked: !contact.is_blocked });
  };
  const merge = async () => {
    const target = await chooseContact(contact);
    if (!target) return;
    const merged = await reportErrors(api.post(`${path}/merge`, { into_id: target.id }));
    if (!merged) return;
    showNotice(t("contactsMerged", merged.name || t("unknownContact")));
    show();
    onMerge(merged.id);
  };
  const fact = (label, value) => html.div(html.dt(label), html.dd({ dir: "auto" }, value));
  return html.div(
    { class: "dialog-form" },
    html.p({ class: "inbox-contact-name" }, html.strong({ dir: "auto" }, contact.name || t("unknownContact")), contact.is_blocked && html.span({ class: "tag" }, t("blocked"))),
    html.dl(
      { class: "facts" },
      contact.identities.map(({ scheme, value }) => fact(scheme, value)),
      fact(t("firstContact"), formatDate(contact.created_at)),
      Object.entries(contact.attributes).map(([name, value]) => fact(name, String(value))),
    ),
    html.div(
      { class: "inbox-actions" },
      html.button({ type: "button", class: "button", onclick: rename }, icon("edit"), t("rename")),
      html.button({ type: "button", class: "button", onclick: merge }, icon("users"), t("mergeContact")),
      html.button({ type: "button", class: "button danger", onclick: block }, t(contact.is_blocked ? "unblock" : "block")),
    ),
  );
}

/** Let the user choose the contact that gets everything of *contact*. Resolves to it, or null. */
async function chooseContact(contact) {
  const text = signal("");
  const results = html.div({ class: "inbox-contacts" });
  let timer = 0;
  const search = (close) =>
    replaceChildren(
      results,
      asyncContent(
        () => api.get("/chat/contacts", { q: text.peek() || null, limit: 20 }),
        ({ items }) => {
          const others = items.filter(({ id }) => id !== contact.id);
          if (!others.length) return emptyState(t("nothingFound"));
          return html.ul({ role: "list" }, others.map((other) => html.li(html.button({ type: "button", class: "inbox-contact", onclick: () => close(other) }, html.strong({ dir: "auto" }, other.name || t("unknownContact")), html.span({ class: "faint", dir: "auto" }, other.identities.map(({ value }) => value).join(" · "))))));
        },
      ),
    );
  const { closed } = openDialog({
    title: t("mergeContactInto", contact.name || t("unknownContact")),
    hasCloseButton: true,
    content: (close) => {
      const type = (event) => {
        clearTimeout(timer);
        text.value = event.currentTarget.value.trim();
        timer = setTimeout(() => search(close), SEARCH_DELAY_MS);
      };
      search(close);
      return html.div({ class: "dialog-form" }, html.p(t("mergeContactText")), html.input({ class: "input", type: "search", "aria-label": t("searchContacts"), placeholder: t("searchContacts"), maxlength: 200, autofocus: true, dir: "auto", oninput: type }), results);
    },
  });
  const target = await closed;
  if (!target) return null;
  const isConfirmed = await confirmAction({ title: t("mergeConfirm", contact.name || t("unknownContact"), target.name || t("unknownContact")), text: t("mergeConfirmText"), action: t("mergeContact"), isDanger: true });
  return isConfirmed ? target : null;
}
