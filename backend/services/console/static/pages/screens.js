// The screens of the console: address, permission, module, and entry in the menu.
//
// A module exports `page(parameters)`, which returns the content of <main>. A screen is rendered
// again when its address parameters change. `texts` and `style` name files that it needs.

import { html, renderOnChange, replaceChildren } from "../lib/dom.js";
import { loadTexts, t } from "../lib/i18n.js";
import { computed, createScope } from "../lib/reactive.js";
import { consolePath, matchPath, navigate, route } from "../lib/router.js";
import { unreadCount } from "../model/unread_count.js";
import { can } from "../model/session.js";
import { loadModule, loadStyle } from "../ui/lazy.js";
import { errorState, skeleton } from "../ui/states.js";
import { conversationPage } from "./conversation.js";

/**
 * @typedef {object} Screen
 * @property {string} path pattern for matchPath
 * @property {string} [title] key of the page title
 * @property {string | string[]} [permission] permission that the screen needs; of a list, any one
 * @property {() => Promise<{page: (parameters: object) => any}>} load
 * @property {string[]} [texts] sections of texts, see loadTexts
 * @property {string[]} [styles] files in styles/
 * @property {string} [icon] icon in the menu; screens without one are not in the menu
 * @property {() => number} [getCount] number beside the entry in the menu, if it is not 0
 */

const LIBRARY = { texts: ["screens", "documents", "uploads"], styles: ["screens", "documents"] };
const PACKAGES = { texts: ["screens", "packages"], styles: ["screens", "documents", "admin", "prose", "packages"] };
const ADMIN = { texts: ["screens", "admin", "uploads"], styles: ["screens", "admin", "prose"] };
const CHAT_ADMIN = { ...ADMIN, texts: [...ADMIN.texts, "history"] };
const INBOX = { texts: ["screens", "inbox"], styles: ["screens", "inbox"] };
const SETTINGS = { texts: ["screens", "settings"], styles: ["screens", "settings"] };

/** @type {Screen[]} */
export const SCREENS = [
  { path: "/documents", title: "documents", permission: "rag:read", icon: "documents", ...LIBRARY, load: () => import("./documents.js") },
  { path: "/documents/:id", title: "documents", permission: "rag:read", ...LIBRARY, load: () => import("./document_details.js") },
  { path: "/collections", title: "collections", permission: "rag:read", ...LIBRARY, load: () => import("./collections.js") },
  { path: "/search", title: "searchTest", permission: "rag:read", ...LIBRARY, load: () => import("./search_test.js") },
  { path: "/inbox", title: "inbox", permission: "chat:read", icon: "chat", ...INBOX, load: () => import("./inbox.js") },
  { path: "/packages", title: "packages", permission: "packages:read", icon: "map", ...PACKAGES, load: () => import("./packages.js") },
  { path: "/packages/map", title: "packages", permission: "packages:read", ...PACKAGES, load: () => import("./package_map.js") },
  { path: "/packages/dashboard", title: "packages", permission: "packages:read", ...PACKAGES, load: () => import("./package_dashboard.js") },
  { path: "/packages/import", title: "packages", permission: "packages:write", ...PACKAGES, load: () => import("./package_import.js") },
  { path: "/packages/webhooks", title: "packages", permission: "packages:write", ...PACKAGES, load: () => import("./package_webhooks.js") },
  { path: "/packages/tours/:id", title: "packages", permission: "packages:read", ...PACKAGES, load: () => import("./package_tour.js") },
  { path: "/packages/:id", title: "packages", permission: "packages:read", ...PACKAGES, load: () => import("./package_details.js") },
  { path: "/notifications", title: "notifications", icon: "bell", getCount: () => unreadCount.value, ...SETTINGS, load: () => import("./notifications.js") },
  { path: "/admin", title: "administration", permission: ["system:read", "users:read", "audit:read", "chat:read"], icon: "chart", ...ADMIN, load: () => import("./admin_overview.js") },
  { path: "/admin/users", title: "users", permission: "users:read", ...ADMIN, load: () => import("./admin_users.js") },
  { path: "/admin/invitations", title: "invitations", permission: "users:read", ...ADMIN, load: () => import("./admin_invitations.js") },
  { path: "/admin/roles", title: "roles", permission: "users:read", ...ADMIN, load: () => import("./admin_roles.js") },
  { path: "/admin/tenants", title: "tenants", permission: "users:read", ...ADMIN, load: () => import("./admin_tenants.js") },
  { path: "/admin/service-accounts", title: "serviceAccounts", permission: "users:read", ...ADMIN, load: () => import("./admin_service_accounts.js") },
  { path: "/admin/usage", title: "usage", permission: "users:read", ...ADMIN, load: () => import("./admin_usage.js") },
  { path: "/admin/users/:id", title: "userFigures", permission: "users:read", ...CHAT_ADMIN, load: () => import("./admin_user.js") },
  { path: "/admin/chat", title: "chatStats", permission: "chat:read", ...CHAT_ADMIN, load: () => import("./admin_chat.js") },
  { path: "/admin/chat/history", title: "chatHistory", permission: "chat:manage", ...CHAT_ADMIN, load: () => import("./admin_chat_history.js") },
  { path: "/admin/audit", title: "audit", permission: "audit:read", ...ADMIN, load: () => import("./admin_audit.js") },
  { path: "/admin/health", title: "health", permission: "system:read", ...ADMIN, load: () => import("./admin_health.js") },
  { path: "/admin/drift", title: "drift", permission: "system:read", ...ADMIN, texts: [...ADMIN.texts, "drift"], load: () => import("./admin_drift.js") },
  { path: "/admin/queue", title: "queue", permission: "system:read", ...ADMIN, load: () => import("./admin_queue.js") },
  { path: "/admin/models", title: "models", permission: "system:read", ...ADMIN, load: () => import("./admin_models.js") },
  { path: "/settings", title: "settings", ...SETTINGS, load: () => import("./settings.js") },
  { path: "/settings/channels", title: "settings", permission: "chat:manage", ...INBOX, load: () => import("./channels.js") },
  { path: "/settings/channels/new", title: "settings", permission: "chat:manage", ...INBOX, load: () => import("./channel_connect.js") },
];

const CONVERSATION_PATHS = ["/", "/c/:id"];

function findScreen(path) {
  if (CONVERSATION_PATHS.some((pattern) => matchPath(pattern, path))) return { screen: "conversation", parameters: {}, key: "conversation" };
  for (const screen of SCREENS) {
    const parameters = matchPath(screen.path, path);
    if (parameters) return { screen, parameters, key: JSON.stringify([screen.path, parameters]) };
  }
  return { screen: null, parameters: {}, key: "not found" };
}

/** Return a child for append() that shows the screen of the current address. */
export function currentScreen() {
  const found = computed(() => findScreen(route.value.path).key);
  return renderOnChange(
    () => found.value,
    () => {
      const { screen, parameters } = findScreen(route.peek().path);
      if (screen === "conversation") return can("agent:query") ? conversationPage() : pageWithoutConversations();
      if (!screen) return notFound();
      if (screen.permission && !can(screen.permission)) return forbidden(screen.permission);
      return lazyScreen(screen, parameters);
    },
  );
}

/** Go from the start page to the first screen of the menu that the user may see. */
function pageWithoutConversations() {
  const first = SCREENS.find(({ icon, permission }) => icon && permission && can(permission));
  if (route.peek().path !== "/" || !first) return forbidden("agent:query");
  queueMicrotask(() => navigate(first.path, { replace: true }));
  return createMain();
}

function lazyScreen(screen, parameters) {
  const main = createMain(skeleton(6));
  const scope = createScope();
  setTitle(screen.title && t(screen.title));
  const start = async () => {
    try {
      const [module] = await Promise.all([loadModule(screen.load), ...(screen.texts ?? []).map(loadTexts), ...(screen.styles ?? []).map(loadStyle)]);
      if (scope.isDisposed) return;
      setTitle(screen.title && t(screen.title));
      scope.run(() => replaceChildren(main, module.page(parameters)));
      focusHeading(main);
    } catch (error) {
      if (!scope.isDisposed) replaceChildren(main, errorState(error, start));
    }
  };
  start();
  return main;
}

const createMain = (...content) => html.main({ id: "main", class: "page-content", tabindex: "-1" }, content);

/** Set the title of the browser tab. */
export function setTitle(title) {
  document.title = title ? `${title} · ${t("productName")}` : t("productName");
}

/** Move the focus to the heading after a navigation, so that screen readers announce the screen. */
function focusHeading(main) {
  if (document.activeElement && document.activeElement !== document.body && !document.activeElement.closest(".sidebar")) return;
  const heading = main.querySelector("h1");
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

function forbidden(permission) {
  setTitle(t("errorForbidden"));
  return createMain(html.h1({ class: "title" }, t("errorForbidden")), html.p(t("missingPermission", [permission].flat().join(" / "))), html.p(html.a({ href: consolePath("/") }, t("goHome"))));
}

function notFound() {
  setTitle(t("notFoundTitle"));
  return createMain(html.h1({ class: "title" }, t("notFoundTitle")), html.p(t("notFoundText")), html.p(html.a({ href: consolePath("/") }, t("goHome"))));
}
