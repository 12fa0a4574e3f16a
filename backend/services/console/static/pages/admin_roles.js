// Roles, and which permission each of them has.

import * as api from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { can } from "../model/session.js";
import { confirmAction } from "../ui/dialog.js";
import { openFormDialog } from "../ui/form_dialog.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors } from "../ui/notice.js";
import { asyncContent } from "../ui/states.js";
import { adminFrame } from "./admin_frame.js";
import { sensitively } from "./sensitive.js";
import { describePermission } from "./permissions.js";

export function page() {
  const version = signal(0);
  const reload = () => version.update((value) => value + 1);
  const known = signal([]);
  const body = html.div({ class: "page-body" });
  effect(() => {
    version.value;
    replaceChildren(body, asyncContent(loadRoles, (roles) => {
      known.value = getPermissions(roles);
      return matrix(roles, known.value, reload);
    }));
  });
  const add = can("users:write") && html.button({ type: "button", class: "button primary", onclick: () => editRole(null, known.peek()).then((saved) => saved && reload()) }, icon("plus"), t("newRole"));
  return adminFrame("roles", add, html.p({ class: "faint" }, t("rolesText")), body);
}

async function loadRoles() {
  const { items } = await api.get("/auth/roles", { limit: 200 });
  return items;
}

/** All permissions: the role of administrators has every one. */
const getPermissions = (roles) => [...new Set(roles.flatMap(({ permissions }) => permissions))].sort();

function matrix(roles, permissions, reload) {
  const sorted = [...roles].sort((a, b) => a.permissions.length - b.permissions.length);
  return html.div(
    { class: "table-scroll", tabindex: "0", role: "group", "aria-label": t("roles") },
    html.table(
      { class: "table role-table", "aria-label": t("roles") },
      html.thead(html.tr(html.th({ scope: "col" }, t("permission")), sorted.map((role) => roleHeading(role, permissions, reload)))),
      html.tbody(permissions.map((permission) => html.tr(permissionHeading(permission), sorted.map((role) => grantCell(role, permission))))),
    ),
  );
}

function roleHeading(role, permissions, reload) {
  return html.th(
    { scope: "col", class: "role-name", title: role.description },
    html.span({ dir: "auto" }, role.name),
    role.built_in ? html.small({ class: "faint" }, t("builtIn")) : can("users:write") && roleMenu(role, permissions, reload),
  );
}

function permissionHeading(permission) {
  return html.th({ scope: "row" }, html.code(permission), html.small({ class: "faint" }, describePermission(permission)));
}

function grantCell({ permissions }, permission) {
  const isGranted = permissions.includes(permission);
  return html.td({ class: `grant-cell${isGranted ? " granted" : ""}` }, isGranted ? icon("check") : "–", html.span({ class: "visually-hidden" }, t(isGranted ? "allowed" : "notAllowed")));
}

function roleMenu(role, permissions, reload) {
  const run = async (action) => {
    if (await reportErrors(action())) reload();
  };
  return menuButton(iconButton("more", t("roleActions", role.name), { class: "small" }), () => [
    { label: t("edit"), icon: "edit", onSelect: () => run(() => editRole(role, permissions)) },
    { label: t("delete"), icon: "trash", isDanger: true, onSelect: () => run(() => deleteRole(role)) },
  ], { align: "end" });
}

function editRole(role, permissions) {
  const nameField = { name: "name", label: t("name"), isRequired: true, maxlength: 64, hint: t("roleNameHint") };
  return openFormDialog({
    title: role ? t("editRole", role.name) : t("newRole"),
    fields: [
      ...(role ? [] : [nameField]),
      { name: "description", label: t("description"), value: role?.description ?? "" },
      { name: "permissions", label: t("permissions"), type: "checks", options: permissions.map((each) => [each, each, describePermission(each)]), value: role?.permissions ?? [] },
    ],
    submit: ({ name, description, permissions: granted }) =>
      sensitively(() => api.put(`/auth/roles/${encodeURIComponent(role?.name ?? name)}`, { permissions: granted, ...(description ? { description } : {}) })),
  });
}

async function deleteRole({ name }) {
  const isConfirmed = await confirmAction({ title: t("deleteRole", name), text: t("deleteRoleText"), action: t("delete"), isDanger: true });
  return isConfirmed && api.remove(`/auth/roles/${encodeURIComponent(name)}`).then(() => true);
}
