// Tenants and their members.

import * as api from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatDate, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { route, updateQuery } from "../lib/router.js";
import { can } from "../model/session.js";
import { confirmAction } from "../ui/dialog.js";
import { openFormDialog } from "../ui/form_dialog.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors } from "../ui/notice.js";
import { pagedTable } from "../ui/table.js";
import { adminFrame } from "./admin_frame.js";
import { sensitively } from "./sensitive.js";

export function page() {
  const version = signal(0);
  const reload = () => version.update((value) => value + 1);
  const opened = signal(route.peek().query.get("tenant"));
  const list = html.div({ class: "page-body" });
  const members = html.div({ class: "page-body" });
  const open = (tenant) => {
    opened.value = tenant.id;
    updateQuery({ tenant: tenant.id });
  };
  effect(() => {
    version.value;
    replaceChildren(list, pagedTable({ label: t("tenants"), columns: tenantColumns(open, reload), getPage: (cursor) => api.get("/auth/tenants", { limit: 50, cursor }), empty: t("nothingFound") }));
  });
  effect(() => {
    version.value;
    replaceChildren(members, opened.value ? memberSection(opened.value, reload) : null);
  });
  const add = can("users:write") && html.button({ type: "button", class: "button primary", onclick: () => createTenant().then((created) => created && reload()) }, icon("plus"), t("newTenant"));
  return adminFrame("tenants", add, list, members);
}

function tenantColumns(open, reload) {
  return [
    { label: t("name"), render: (tenant) => html.div(html.button({ type: "button", class: "link-button", dir: "auto", onclick: () => open(tenant) }, tenant.name), html.div({ class: "faint" }, tenant.slug)) },
    { label: t("kind"), render: ({ personal }) => t(personal ? "personalTenant" : "sharedTenant") },
    { label: t("created"), render: ({ created_at: time }) => formatDate(time) },
    { render: (tenant) => can("users:write") && tenantMenu(tenant, open, reload) },
  ];
}

function tenantMenu(tenant, open, reload) {
  const run = async (action) => {
    if (await reportErrors(action())) reload();
  };
  return menuButton(iconButton("more", t("tenantActions", tenant.name), { class: "small" }), () => [
    { label: t("members"), icon: "users", onSelect: () => open(tenant) },
    { label: t("rename"), icon: "edit", onSelect: () => run(() => renameTenant(tenant)) },
    null,
    { label: t("delete"), icon: "trash", isDanger: true, isDisabled: tenant.personal, onSelect: () => run(() => deleteTenant(tenant)) },
  ], { align: "end" });
}

function createTenant() {
  return openFormDialog({
    title: t("newTenant"),
    action: t("create"),
    fields: [
      { name: "name", label: t("name"), isRequired: true },
      { name: "slug", label: t("slug"), hint: t("slugHint"), maxlength: 60 },
    ],
    submit: ({ name, slug }) => api.post("/auth/tenants", { name, ...(slug ? { slug } : {}) }),
  });
}

const renameTenant = ({ id, name }) =>
  openFormDialog({ title: t("renameTenant", name), fields: [{ name: "name", label: t("name"), value: name, isRequired: true }], submit: (values) => api.patch(`/auth/tenants/${id}`, values) });

async function deleteTenant({ id, name }) {
  const isConfirmed = await confirmAction({ title: t("deleteTenant", name), text: t("deleteTenantText"), action: t("delete"), isDanger: true });
  return isConfirmed && sensitively(() => api.remove(`/auth/tenants/${id}`).then(() => true));
}

function memberSection(tenantId, reload) {
  const add = can("users:write") && html.button({ type: "button", class: "button", onclick: () => addMember(tenantId).then((added) => added && reload()) }, icon("plus"), t("addMember"));
  return html.section(
    { class: "details-section" },
    html.div({ class: "page-header" }, html.h2(t("members")), add),
    pagedTable({ label: t("members"), columns: memberColumns(tenantId, reload), getPage: (cursor) => api.get(`/auth/tenants/${tenantId}/members`, { limit: 50, cursor }), empty: t("nothingFound") }),
  );
}

function memberColumns(tenantId, reload) {
  return [
    { label: t("name"), render: ({ username, display_name: name }) => html.div(html.strong({ dir: "auto" }, name || username), name && html.div({ class: "faint" }, username)) },
    { label: t("roles"), render: ({ roles }) => html.span({ class: "tags" }, roles.map((role) => html.span({ class: "tag" }, role))) },
    { label: t("since"), render: ({ since }) => formatDate(since) },
    { render: (member) => can("users:write") && memberMenu(tenantId, member, reload) },
  ];
}

function memberMenu(tenantId, member, reload) {
  const run = async (action) => {
    if (await reportErrors(action())) reload();
  };
  return menuButton(iconButton("more", t("userActions", member.username), { class: "small" }), () => [
    { label: t("changeRoles"), icon: "edit", onSelect: () => run(() => changeRoles(tenantId, member)) },
    { label: t("removeMember"), icon: "trash", isDanger: true, onSelect: () => run(() => removeMember(tenantId, member)) },
  ], { align: "end" });
}

async function getRoleOptions() {
  const { items } = await api.get("/auth/roles", { limit: 200 });
  return items.map(({ name, description }) => [name, name, description]);
}

async function addMember(tenantId) {
  const roles = await reportErrors(getRoleOptions());
  if (!roles) return null;
  return openFormDialog({
    title: t("addMember"),
    fields: [
      { name: "username", label: t("userName"), isRequired: true, maxlength: 64 },
      { name: "roles", label: t("roles"), type: "checks", options: roles, value: ["user"] },
    ],
    submit: async ({ username, roles: names }) => {
      const userId = await findUserId(username);
      return sensitively(() => api.put(`/auth/tenants/${tenantId}/members/${userId}`, { roles: names }));
    },
  });
}

/** Return the id of the user *username*. Raises an ApiError that points to the field. */
async function findUserId(username) {
  const { items } = await api.get("/auth/users", { q: username, limit: 50 });
  const found = items.find((user) => user.username.toLowerCase() === username.toLowerCase());
  if (!found) throw new api.ApiError({ title: t("userNotFound"), errors: [{ pointer: "#/username", detail: t("userNotFound") }] }, 422);
  return found.id;
}

async function changeRoles(tenantId, { user_id: id, username, roles }) {
  const options = await getRoleOptions();
  return openFormDialog({
    title: t("rolesOf", username),
    fields: [{ name: "roles", label: t("roles"), type: "checks", options, value: roles }],
    submit: (values) => sensitively(() => api.put(`/auth/tenants/${tenantId}/members/${id}`, values)),
  });
}

async function removeMember(tenantId, { user_id: id, username }) {
  const isConfirmed = await confirmAction({ title: t("removeMemberTitle", username), text: t("removeMemberText"), action: t("removeMember"), isDanger: true });
  return isConfirmed && api.remove(`/auth/tenants/${tenantId}/members/${id}`).then(() => true);
}
