// Keyboard shortcuts of the whole console, and the list of them.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { onDispose, signal } from "../lib/reactive.js";
import { navigate } from "../lib/router.js";
import { openDialog } from "../ui/dialog.js";
import { loadModule } from "../ui/lazy.js";
import { reportErrors } from "../ui/notice.js";

const IS_MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const MODIFIER = IS_MAC ? "⌘" : "Ctrl+";
const SHIFT = IS_MAC ? "⇧" : "Shift+";
const STORAGE_NAME = "single_key_shortcuts";
const REGIONS = [".sidebar:not([inert])", "#main", ".evidence"];

export const SHORTCUT_LABELS = { newConversation: `${MODIFIER}${SHIFT}O` };

/** Single-key shortcuts can be turned off (WCAG 2.1.4). */
export const areSingleKeysEnabled = signal(window.localStorage.getItem(STORAGE_NAME) !== "off");

export function setSingleKeysEnabled(isEnabled) {
  areSingleKeysEnabled.value = isEnabled;
  if (isEnabled) window.localStorage.removeItem(STORAGE_NAME);
  else window.localStorage.setItem(STORAGE_NAME, "off");
}

const getShortcuts = () => [
  [`${MODIFIER}K`, t("openPalette")],
  [`${MODIFIER}${SHIFT}O`, t("newConversation")],
  [`${MODIFIER}B`, t("toggleMenu")],
  ["F6", t("nextRegion")],
  ["/", t("focusComposer")],
  ["?", t("keyboardShortcuts")],
  ["↑", t("editLastRequest")],
  ["Esc", t("stopOrClose")],
];

/** Handle the shortcuts until the surrounding scope ends. */
export function startShortcuts() {
  document.addEventListener("keydown", handleKey);
  onDispose(() => document.removeEventListener("keydown", handleKey));
}

function handleKey(event) {
  const action = findAction(event);
  if (!action) return;
  event.preventDefault();
  action();
}

function findAction(event) {
  if (document.querySelector("dialog[open]")) return null;
  const key = event.key.toLowerCase();
  if (event.metaKey || event.ctrlKey) {
    if (key === "k") return openPalette;
    if (key === "o" && event.shiftKey) return () => navigate("/");
    if (key === "b" && !event.shiftKey) return () => document.querySelector(".sidebar-opener")?.click();
    return null;
  }
  if (event.altKey) return null;
  if (event.key === "F6") return () => focusNextRegion(event.shiftKey ? -1 : 1);
  if (!areSingleKeysEnabled.peek() || isEditable(event.target)) return null;
  if (event.key === "/") return () => document.querySelector(".composer textarea")?.focus();
  if (event.key === "?") return showShortcuts;
  return null;
}

const isEditable = (target) => target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;

function focusNextRegion(step) {
  const regions = REGIONS.map((selector) => document.querySelector(selector)).filter(Boolean);
  const current = regions.findIndex((region) => region.contains(document.activeElement));
  const next = regions[(current + step + regions.length) % regions.length];
  const target = next.matches("[tabindex]") ? next : next.querySelector("a, button, input, [tabindex]");
  target?.focus();
}

export async function openPalette() {
  const module = await reportErrors(loadModule(() => import("./palette.js")));
  module?.palette();
}

export function showShortcuts() {
  openDialog({
    title: t("keyboardShortcuts"),
    hasCloseButton: true,
    content: () => [
      html.dl({ class: "shortcut-list" }, getShortcuts().map(([keys, text]) => html.div(html.dt(html.kbd(keys)), html.dd(text)))),
      html.label({ class: "checkbox" }, html.input({ type: "checkbox", checked: areSingleKeysEnabled.peek(), onchange: (event) => setSingleKeysEnabled(event.currentTarget.checked) }), html.span(t("singleKeyShortcuts"))),
    ],
  });
}
