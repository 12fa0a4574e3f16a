// Dialog that shares a collection with the tenant and with single users.

import { get } from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import * as library from "../model/library.js";
import { can, user } from "../model/session.js";
import { openDialog } from "../ui/dialog.js";
import { iconButton } from "../ui/icon.js";
import { getErrorText } from "../ui/notice.js";

/** Change who can use *collection*. Each change is saved at once. */
export function shareCollection(collection) {
  const shown = signal(collection);
  const members = signal([]);
  const error = html.p({ class: "field-error", role: "alert" });
  loadMembers(members);
  const change = async (action) => {
    error.textContent = "";
    try {
      await action();
      await library.loadCollections();
      shown.value = library.collections.peek().find(({ id }) => id === collection.id) ?? shown.peek();
    } catch (failure) {
      error.textContent = getErrorText(failure);
    }
  };
  const people = html.ul({ class: "plain-list grants" });
  effect(() => replaceChildren(people, Object.entries(shown.value.grants).map(([id, access]) => grantRow(shown.value, id, access, members.value, change))));
  openDialog({
    title: t("shareCollection", collection.name),
    hasCloseButton: true,
    content: () => html.div({ class: "dialog-form" }, tenantField(collection, change), html.h3(t("people")), people, addForm(collection, members, change), error),
  });
}

/** Names of members are known only to those who may list users. Others enter a user id. */
async function loadMembers(members) {
  if (!can("users:read")) return;
  const page = await get(`/auth/tenants/${user.peek().tenant_id}/members`, { limit: 200 }).catch(() => ({ items: [] }));
  members.value = page.items.filter(({ user_id: id }) => id !== user.peek().id);
}

function tenantField(collection, change) {
  const save = (event) => {
    const { value } = event.currentTarget;
    change(() => library.updateCollection(collection.id, { tenant_access: value }));
  };
  return html.label(
    { class: "field" },
    html.span(t("everyoneInTenant")),
    html.select({ class: "input", onchange: save }, ["none", "read", "write"].map((access) => html.option({ value: access, selected: access === collection.tenant_access }, t(`access_${access}`)))),
  );
}

function grantRow(collection, id, access, members, change) {
  const name = getName(id, members);
  const save = (event) => {
    const { value } = event.currentTarget;
    change(() => library.grantAccess(collection.id, id, value));
  };
  return html.li(
    { class: "grant" },
    html.span({ class: "truncate", dir: "auto" }, name),
    html.select({ class: "input", "aria-label": t("accessOf", name), onchange: save }, ["read", "write"].map((each) => html.option({ value: each, selected: each === access }, t(`access_${each}`)))),
    iconButton("close", t("removeAccess", name), { class: "small", onclick: () => change(() => library.revokeAccess(collection.id, id)) }),
  );
}

function getName(id, members) {
  const member = members.find(({ user_id: each }) => each === id);
  return member ? member.display_name || member.username : id;
}

function addForm(collection, members, change) {
  const input = html.input({ class: "input", list: "share-members", required: true, maxlength: 64, autocomplete: "off", "aria-label": t("addPerson"), placeholder: () => t(members.value.length ? "personName" : "personId") });
  const submit = async (event) => {
    event.preventDefault();
    const text = input.value.trim();
    const member = members.peek().find(({ username, user_id: id }) => username === text || id === text);
    await change(() => library.grantAccess(collection.id, member?.user_id ?? text, "read"));
    input.value = "";
  };
  return html.form(
    { class: "inline-form", onsubmit: submit },
    input,
    html.datalist({ id: "share-members" }, () => members.value.map(({ username, display_name: name }) => html.option({ value: username }, name ?? username))),
    html.button({ class: "button" }, t("addPerson")),
  );
}
