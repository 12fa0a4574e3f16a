// Service accounts: programs with a key of their own.

import * as api from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatDate, formatRelativeTime, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { can } from "../model/session.js";
import { confirmAction } from "../ui/dialog.js";
import { openFormDialog, showSecret } from "../ui/form_dialog.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors } from "../ui/notice.js";
import { pagedTable } from "../ui/table.js";
import { adminFrame } from "./admin_frame.js";
import { sensitively } from "./sensitive.js";
import { describePermission } from "./permissions.js";

// What the server allows for accounts that cannot sign in.
const PERMISSIONS = ["rag:read", "rag:write", "agent:query", "realtime:publish"];

export function page() {
  const version = signal(0);
  const reload = () => version.update((value) => value + 1);
  const body = html.div({ class: "page-body" });
  effect(() => {
    version.value;
    replaceChildren(body, pagedTable({ label: t("serviceAccounts"), columns: getColumns(reload), getPage: (cursor) => api.get("/auth/service-accounts", { limit: 50, cursor }), empty: t("noServiceAccounts") }));
  });
  const add = can("users:write") && html.button({ type: "button", class: "button primary", onclick: () => createAccount().then(reload) }, icon("plus"), t("newServiceAccount"));
  return adminFrame("serviceAccounts", add, html.p({ class: "faint" }, t("serviceAccountsText")), body);
}

function getColumns(reload) {
  return [
    { label: t("name"), render: ({ name }) => html.strong({ dir: "auto" }, name) },
    { label: t("permissions"), render: ({ permissions }) => html.span({ class: "tags" }, permissions.map((each) => html.span({ class: "tag" }, each))) },
    { label: t("keys"), render: ({ keys }) => html.ul({ class: "plain-list" }, keys.map(keyItem)) },
    { label: t("created"), render: ({ created_at: time }) => formatDate(time) },
    { render: (account) => can("users:write") && accountMenu(account, reload) },
  ];
}

function keyItem({ prefix, expires_at: expiry, last_used_at: used }) {
  const notes = [used ? t("lastUsed", formatRelativeTime(used)) : t("neverUsed"), expiry && t("expires", formatRelativeTime(expiry))].filter(Boolean);
  return html.li(html.code(`${prefix}…`), " ", html.span({ class: "faint" }, notes.join(" · ")));
}

function accountMenu(account, reload) {
  const run = async (action) => {
    await reportErrors(action());
    reload();
  };
  return menuButton(iconButton("more", t("accountActions", account.name), { class: "small" }), () => [
    { label: t("newKey"), note: t("newKeyNote"), icon: "key", onSelect: () => run(() => rotateKey(account)) },
    { label: t("delete"), icon: "trash", isDanger: true, onSelect: () => run(() => deleteAccount(account)) },
  ], { align: "end" });
}

async function createAccount() {
  const created = await openFormDialog({
    title: t("newServiceAccount"),
    action: t("create"),
    fields: [
      { name: "name", label: t("name"), isRequired: true, maxlength: 100 },
      { name: "permissions", label: t("permissions"), type: "checks", options: PERMISSIONS.filter((each) => can(each)).map((each) => [each, each, describePermission(each)]), value: ["rag:read"] },
    ],
    submit: (values) => sensitively(() => api.post("/auth/service-accounts", values)),
  });
  if (created?.key) await showSecret({ title: t("keyOf", created.name), text: t("keyShownOnce"), secret: created.key });
}

async function rotateKey({ id, name }) {
  const isConfirmed = await confirmAction({ title: t("newKeyFor", name), text: t("newKeyText"), action: t("newKey") });
  if (!isConfirmed) return;
  const created = await sensitively(() => api.post(`/auth/service-accounts/${id}/rotate`, {}));
  if (created) await showSecret({ title: t("keyOf", name), text: t("keyShownOnce"), secret: created.key });
}

async function deleteAccount({ id, name }) {
  const isConfirmed = await confirmAction({ title: t("deleteServiceAccount", name), text: t("deleteServiceAccountText"), action: t("delete"), isDanger: true });
  if (isConfirmed) await sensitively(() => api.remove(`/auth/service-accounts/${id}`));
}
