// Users: search, create, change roles, disable, unlock, delete.

import * as api from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatDate, formatRelativeTime, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { consolePath, route, updateQuery } from "../lib/router.js";
import { can, user as currentUser } from "../model/session.js";
import { confirmAction } from "../ui/dialog.js";
import { openFormDialog } from "../ui/form_dialog.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors, showNotice } from "../ui/notice.js";
import { pagedTable } from "../ui/table.js";
import { adminFrame } from "./admin_frame.js";
import { getRoleOptions } from "./role_options.js";
import { sensitively } from "./sensitive.js";

const SEARCH_DELAY_MS = 250;
const PAGE_SIZE = 50;

export function page() {
  const text = signal(route.peek().query.get("q") ?? "");
  const version = signal(0);
  const reload = () => version.update((value) => value + 1);
  const body = html.div({ class: "page-body" });
  effect(() => {
    version.value;
    const q = text.value;
    replaceChildren(body, pagedTable({ label: t("users"), columns: getColumns(reload), getPage: (cursor) => api.get("/auth/users", { limit: PAGE_SIZE, q, cursor }), empty: t(q ? "nothingFound" : "noUsers") }));
  });
  const add = can("users:write") && html.button({ type: "button", class: "button primary", onclick: () => createUser().then((created) => created && reload()) }, icon("plus"), t("newUser"));
  return adminFrame("users", add, searchField(text), body);
}

function searchField(text) {
  let timer = 0;
  const search = (event) => {
    clearTimeout(timer);
    const value = event.currentTarget.value.trim();
    timer = setTimeout(() => {
      text.value = value;
      updateQuery({ q: value });
    }, SEARCH_DELAY_MS);
  };
  return html.div({ class: "filter-bar", role: "search" }, html.div({ class: "search-field" }, icon("search"), html.input({ class: "input", type: "search", value: text.peek(), maxlength: 200, dir: "auto", placeholder: t("searchUsers"), "aria-label": t("searchUsers"), oninput: search })));
}

function getColumns(reload) {
  return [
    { label: t("name"), render: nameCell },
    { label: t("roles"), render: ({ roles }) => html.span({ class: "tags" }, roles.map((role) => html.span({ class: "tag" }, role))) },
    { label: t("state"), render: ({ disabled }) => html.span({ class: `status ${disabled ? "bad" : "good"}` }, t(disabled ? "disabled" : "active")) },
    { label: t("lastSignIn"), render: ({ last_login_at: time }) => (time ? formatRelativeTime(time) : "–") },
    { label: t("created"), render: ({ created_at: time }) => formatDate(time) },
    { render: (user) => can("users:write") && userMenu(user, reload) },
  ];
}

function nameCell({ id, username, display_name: name, email }) {
  return html.div(
    html.strong({ dir: "auto" }, html.a({ href: consolePath(`/admin/users/${encodeURIComponent(id)}`), title: t("userFigures") }, name || username), id === currentUser.value?.id && html.span({ class: "faint" }, ` (${t("you")})`)),
    html.div({ class: "faint", dir: "auto" }, [name && username, email].filter(Boolean).join(" · ")),
  );
}

function userMenu(user, reload) {
  const { username, disabled } = user;
  const run = async (action) => {
    if (await reportErrors(action())) reload();
  };
  return menuButton(iconButton("more", t("userActions", username), { class: "small" }), () => [
    { label: t("edit"), icon: "edit", onSelect: () => run(() => editUser(user)) },
    { label: t("unlock"), note: t("unlockNote"), icon: "lock", onSelect: () => unlockUser(user) },
    { label: t(disabled ? "enable" : "disable"), icon: disabled ? "check" : "stop", onSelect: () => run(() => setDisabled(user, !disabled)) },
    null,
    { label: t("delete"), icon: "trash", isDanger: true, onSelect: () => run(() => deleteUser(user)) },
  ], { align: "end" });
}

async function createUser() {
  const roles = await reportErrors(getRoleOptions());
  if (!roles) return null;
  return openFormDialog({
    title: t("newUser"),
    action: t("create"),
    fields: [
      { name: "username", label: t("userName"), isRequired: true, maxlength: 64 },
      { name: "display_name", label: t("displayName") },
      { name: "email", label: t("email"), type: "email", maxlength: 254 },
      { name: "password", label: t("firstPassword"), type: "password", isRequired: true, maxlength: 128, autocomplete: "new-password", hint: t("firstPasswordHint") },
      { name: "roles", label: t("roles"), type: "checks", options: roles, value: ["user"] },
    ],
    submit: (values) => sensitively(() => api.post("/auth/users", withoutEmpty(values))),
  });
}

const withoutEmpty = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));

async function editUser({ id, username, roles, email, display_name: name }) {
  const options = await getRoleOptions();
  return openFormDialog({
    title: t("editUser", username),
    fields: [
      { name: "display_name", label: t("displayName"), value: name ?? "" },
      { name: "email", label: t("email"), type: "email", value: email ?? "", maxlength: 254, hint: t("emailHint") },
      { name: "roles", label: t("roles"), type: "checks", options, value: roles },
    ],
    submit: (values) => {
      const changes = {};
      if (values.display_name !== (name ?? "")) changes.display_name = values.display_name || null;
      if (values.email !== (email ?? "")) changes.email = values.email || null;
      if (values.roles.toSorted().join() !== roles.toSorted().join()) changes.roles = values.roles;
      return Object.keys(changes).length ? sensitively(() => api.patch(`/auth/users/${id}`, changes)) : true;
    },
  });
}

async function unlockUser({ id, username }) {
  await reportErrors(api.post(`/auth/users/${id}/unlock`).then(() => showNotice(t("unlocked", username))));
}

async function setDisabled({ id, username }, disabled) {
  const isConfirmed = !disabled || (await confirmAction({ title: t("disableUser", username), text: t("disableUserText"), action: t("disable"), isDanger: true }));
  return isConfirmed && sensitively(() => api.patch(`/auth/users/${id}`, { disabled }));
}

async function deleteUser({ id, username }) {
  const isConfirmed = await confirmAction({ title: t("deleteUser", username), text: t("deleteUserText"), action: t("delete"), isDanger: true });
  return isConfirmed && sensitively(() => api.remove(`/auth/users/${id}`).then(() => true));
}
