// The screens of the console: address, permission, module, and entry in the menu.
//
// A module exports `page(parameters)`, which returns the content of <main>. A screen is rendered
// again when its address parameters change. `texts` and `style` name files that it needs.

import { html, renderOnChange, replaceChildren } from "../lib/dom.js";
import { loadTexts, t } from "../lib/i18n.js";
import { computed, createScope } from "../lib/reactive.js";
import { consolePath, matchPath, route } from "../lib/router.js";
import { can } from "../model/session.js";
import { loadModule, loadStyle } from "../ui/lazy.js";
import { errorState, skeleton } from "../ui/states.js";
import { conversationPage } from "./conversation.js";

/**
 * @typedef {object} Screen
 * @property {string} path pattern for matchPath
 * @property {string} [title] key of the page title
 * @property {string} [permission] permission that the screen needs
 * @property {() => Promise<{page: (parameters: object) => any}>} load
 * @property {string} [texts] section of texts, see loadTexts
 * @property {string} [style] file in styles/
 * @property {string} [icon] icon in the menu; screens without one are not in the menu
 */

/** @type {Screen[]} */
export const SCREENS = [
  { path: "/documents", title: "documents", permission: "rag:read", icon: "documents", texts: "documents", style: "documents", load: () => import("./documents.js") },
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
      if (screen === "conversation") return can("agent:query") ? conversationPage() : forbidden("agent:query");
      if (!screen) return notFound();
      if (screen.permission && !can(screen.permission)) return forbidden(screen.permission);
      return lazyScreen(screen, parameters);
    },
  );
}

function lazyScreen(screen, parameters) {
  const main = createMain(skeleton(6));
  const scope = createScope();
  setTitle(screen.title && t(screen.title));
  const start = async () => {
    try {
      const [module] = await Promise.all([loadModule(screen.load), screen.texts && loadTexts(screen.texts), screen.style && loadStyle(screen.style)]);
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
  return createMain(html.h1({ class: "title" }, t("errorForbidden")), html.p(t("missingPermission", permission)), html.p(html.a({ href: consolePath("/") }, t("goHome"))));
}

function notFound() {
  setTitle(t("notFoundTitle"));
  return createMain(html.h1({ class: "title" }, t("notFoundTitle")), html.p(t("notFoundText")), html.p(html.a({ href: consolePath("/") }, t("goHome"))));
}
