// The frame of all administration screens: heading and the tabs that the user may open.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { can } from "../model/session.js";
import { tabLinks } from "../ui/tab_links.js";

/** Screens of the administration: path, key of the title, permission. */
export const ADMIN_SCREENS = [
  ["/admin", "overview", "system:read"],
  ["/admin/users", "users", "users:read"],
  ["/admin/invitations", "invitations", "users:read"],
  ["/admin/roles", "roles", "users:read"],
  ["/admin/tenants", "tenants", "users:read"],
  ["/admin/service-accounts", "serviceAccounts", "users:read"],
  ["/admin/usage", "usage", "users:read"],
  ["/admin/chat", "chatStats", "chat:read"],
  ["/admin/chat/history", "chatHistory", "chat:manage"],
  ["/admin/audit", "audit", "audit:read"],
  ["/admin/health", "health", "system:read"],
  ["/admin/drift", "drift", "system:read"],
  ["/admin/queue", "queue", "system:read"],
  ["/admin/models", "models", "system:read"],
];

/** Return the frame with *title* (a key), *actions* (buttons) and *content*. */
export function adminFrame(title, actions, ...content) {
  const links = ADMIN_SCREENS.filter(([, , permission]) => can(permission)).map(([path, key]) => [path, t(key)]);
  return html.div(
    { class: "page-frame admin" },
    tabLinks(t("administration"), links),
    html.header({ class: "page-header" }, html.h1({ class: "title" }, t(title)), actions && html.div({ class: "actions" }, actions)),
    ...content,
  );
}
