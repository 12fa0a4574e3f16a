// The user's own API keys.

import * as api from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatDate, formatRelativeTime, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { user } from "../model/session.js";
import { confirmAction } from "../ui/dialog.js";
import { openFormDialog, showSecret } from "../ui/form_dialog.js";
import { icon } from "../ui/icon.js";
import { reportErrors } from "../ui/notice.js";
import { pagedTable } from "../ui/table.js";
import { sensitively } from "./sensitive.js";
import { describePermission } from "./permissions.js";

const DAY_MS = 86_400_000;
const LIFETIMES = [30, 90, 365];

export function apiKeySection() {
  const version = signal(0);
  const reload = () => version.update((value) => value + 1);
  const body = html.div({ class: "page-body" });
  effect(() => {
    version.value;
    replaceChildren(body, pagedTable({ label: t("apiKeys"), columns: getColumns(reload), getPage: (cursor) => api.get("/auth/api-keys", { limit: 20, cursor }), empty: t("noApiKeys") }));
  });
  return [html.p({ class: "faint" }, t("apiKeysText")), body, html.div(html.button({ type: "button", class: "button", onclick: () => createKey().then(reload) }, icon("plus"), t("newApiKey")))];
}

function getColumns(reload) {
  return [
    { label: t("name"), render: ({ name, prefix }) => html.div(html.strong({ dir: "auto" }, name), html.div({ class: "faint" }, html.code(`${prefix}…`))) },
    { label: t("permissions"), render: ({ permissions }) => html.span({ class: "tags" }, permissions.map((each) => html.span({ class: "tag" }, each))) },
    { label: t("expiresAt"), render: ({ expires_at: time }) => (time ? formatDate(time) : t("never")) },
    { label: t("lastUsedAt"), render: ({ last_used_at: time }) => (time ? formatRelativeTime(time) : t("never")) },
    { render: (key) => html.button({ type: "button", class: "link-button danger", "aria-label": t("deleteKey", key.name), onclick: () => deleteKey(key, reload) }, t("delete")) },
  ];
}

async function createKey() {
  const { permissions } = user.peek();
  const lifetimes = [...LIFETIMES.map((days) => [String(days), t("dayCount", days)]), ["", t("never")]];
  const created = await openFormDialog({
    title: t("newApiKey"),
    action: t("create"),
    fields: [
      { name: "name", label: t("name"), isRequired: true, maxlength: 100, hint: t("apiKeyNameHint") },
      { name: "lifetime", label: t("expiresAfter"), type: "select", options: lifetimes, value: "90" },
      { name: "permissions", label: t("permissions"), type: "checks", options: permissions.map((each) => [each, each, describePermission(each)]), value: permissions.filter((each) => ["rag:read", "agent:query"].includes(each)) },
    ],
    submit: ({ name, lifetime, permissions: granted }) => {
      const expiry = lifetime ? { expires_at: new Date(Date.now() + Number(lifetime) * DAY_MS).toISOString() } : {};
      return sensitively(() => api.post("/auth/api-keys", { name, permissions: granted, ...expiry }));
    },
  });
  if (created?.key) await showSecret({ title: t("keyOf", created.name), text: t("keyShownOnce"), secret: created.key });
}

async function deleteKey({ id, name }, reload) {
  const isConfirmed = await confirmAction({ title: t("deleteKey", name), text: t("deleteKeyText"), action: t("delete"), isDanger: true });
  if (!isConfirmed) return;
  await reportErrors(api.remove(`/auth/api-keys/${id}`));
  reload();
}
