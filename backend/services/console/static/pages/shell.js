// The frame around all screens: sidebar, screen, evidence, drop area, offline banner.

import { isShowingStored } from "../lib/api.js";
import { append, html, replaceChildren } from "../lib/dom.js";
import { loadTexts, t } from "../lib/i18n.js";
import { createScope, effect, onDispose, signal, untracked } from "../lib/reactive.js";
import { route } from "../lib/router.js";
import { openedEvidence } from "../model/evidence.js";
import { can } from "../model/session.js";
import { icon, iconButton } from "../ui/icon.js";
import { loadModule, loadStyle } from "../ui/lazy.js";
import { showError } from "../ui/notice.js";
import { addTransferredFiles } from "./add_documents.js";
import { startShortcuts } from "./shortcuts.js";
import { sidebar } from "./sidebar.js";

const wideWindow = window.matchMedia("(min-width: 60rem)");
const NOTIFICATIONS_DELAY_MS = 1500;

export const isSidebarOpen = signal(wideWindow.matches);
let isOpenInWideWindow = true;
const isOffline = signal(!navigator.onLine);

window.addEventListener("offline", () => (isOffline.value = true));
window.addEventListener("online", () => (isOffline.value = false));

// In a narrow window the sidebar is a drawer, which would cover the screen after a change of the width.
wideWindow.addEventListener("change", () => {
  if (!wideWindow.matches) isOpenInWideWindow = isSidebarOpen.peek();
  isSidebarOpen.value = wideWindow.matches && isOpenInWideWindow;
});

export const toggleSidebar = () => isSidebarOpen.update((isOpen) => !isOpen);

/** Return the shell around the child *screen*. */
export function shell(screen) {
  const frame = html.div(
    { class: () => `frame${isSidebarOpen.value ? " has-sidebar" : ""}${openedEvidence.value ? " has-evidence" : ""}` },
    html.a({ class: "skip-link", href: "#main", onclick: skipToMain }, t("skipToContent")),
    sidebar({ isOpen: isSidebarOpen, onToggle: toggleSidebar }),
    html.button({ type: "button", class: "backdrop", tabindex: "-1", "aria-hidden": "true", onclick: toggleSidebar }),
    html.div(
      { class: "screen" },
      html.div({ class: "banner", role: "status" }, () => (isOffline.value || isShowingStored.value) && [icon("offline"), t("offline"), isShowingStored.value && ` ${t("storedData")}`]),
      iconButton("panel", t("openMenu"), { class: "sidebar-opener", "aria-expanded": () => String(isSidebarOpen.value), onclick: toggleSidebar }),
      screen,
    ),
    evidencePanel(),
  );
  startShortcuts();
  followNotifications();
  acceptDrops(frame);
  closeDrawerOnNavigation();
  return frame;
}

/** Notifications are followed when the first screen is complete. */
function followNotifications() {
  const scope = createScope();
  const timer = setTimeout(async () => {
    const module = await loadModule(() => import("../model/notifications.js")).catch(() => null);
    if (module && !scope.isDisposed) scope.run(module.startNotifications);
  }, NOTIFICATIONS_DELAY_MS);
  onDispose(() => clearTimeout(timer));
}

function skipToMain(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function closeDrawerOnNavigation() {
  let isFirst = true;
  effect(() => {
    route.value;
    if (!isFirst && !wideWindow.matches) isSidebarOpen.value = false;
    isFirst = false;
  });
}

// The module of the evidence view is loaded when the first citation is opened.
function evidencePanel() {
  const panel = html.div({ class: "evidence-slot" });
  const owner = createScope();
  let scope = null;
  effect(() => {
    const evidence = openedEvidence.value;
    scope?.dispose();
    scope = null;
    if (!evidence) return replaceChildren(panel, null);
    const current = (scope = owner.run(createScope));
    untracked(() => loadEvidence(panel, current, evidence));
  });
  return panel;
}

async function loadEvidence(panel, scope, evidence) {
  try {
    const [{ evidenceView }] = await Promise.all([loadModule(() => import("./evidence.js")), loadTexts("evidence"), loadStyle("evidence"), loadStyle("messages")]);
    if (!scope.isDisposed) scope.run(() => replaceChildren(panel, evidenceView(evidence)));
  } catch (error) {
    openedEvidence.value = null;
    showError(error);
  }
}

/** Files that are dropped anywhere are added. */
function acceptDrops(frame) {
  if (!can("rag:write")) return;
  const depth = signal(0);
  append(frame, html.div({ class: "drop-area", hidden: () => depth.value === 0 }, html.div(icon("upload"), html.strong(t("dropTitle")), html.span({ class: "faint" }, t("dropText")))));
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const handlers = {
    dragenter: () => depth.update((value) => value + 1),
    dragleave: () => depth.update((value) => Math.max(0, value - 1)),
    dragover: () => {},
    drop: (event) => {
      depth.value = 0;
      addTransferredFiles(event.dataTransfer);
    },
  };
  for (const [type, handle] of Object.entries(handlers)) {
    const listener = (event) => {
      if (!hasFiles(event) || event.defaultPrevented) return;
      event.preventDefault();
      handle(event);
    };
    document.addEventListener(type, listener);
    onDispose(() => document.removeEventListener(type, listener));
  }
}
