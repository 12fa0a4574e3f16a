// Keyboard shortcuts of the whole console.

import { onDispose, signal } from "../lib/reactive.js";
import { navigate } from "../lib/router.js";
import { loadModule } from "../ui/lazy.js";
import { reportErrors } from "../ui/notice.js";

const IS_MAC = /Mac|iPhone|iPad/.test(navigator.platform);
export const MODIFIER = IS_MAC ? "⌘" : "Ctrl+";
export const SHIFT = IS_MAC ? "⇧" : "Shift+";
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

export async function showShortcuts() {
  const module = await reportErrors(loadModule(() => import("./shortcut_list.js")));
  module?.shortcutList();
}
