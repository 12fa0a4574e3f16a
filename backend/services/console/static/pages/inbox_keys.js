// Single-key shortcuts of the inbox. They can be turned off in the settings.

import { onDispose } from "../lib/reactive.js";
import { can } from "../model/session.js";
import { claim, resolve } from "./inbox_actions.js";
import { areSingleKeysEnabled } from "./shortcuts.js";

/** @param {{current: import("../model/inbox_conversation.js").InboxConversation | null}} holder */
export function startInboxKeys(holder) {
  const listener = (event) => handleKey(event, holder);
  document.addEventListener("keydown", listener);
  onDispose(() => document.removeEventListener("keydown", listener));
}

function handleKey(event, holder) {
  const action = findAction(event, holder);
  if (!action) return;
  event.preventDefault();
  action();
}

function findAction(event, { current: opened }) {
  if (event.altKey || event.ctrlKey || event.metaKey || !areSingleKeysEnabled.peek()) return null;
  if (document.querySelector("dialog[open], .menu:popover-open") || event.target.closest?.("input, textarea, select")) return null;
  if (event.key === "j" || event.key === "k") return () => openNeighbour(event.key === "j" ? 1 : -1);
  if (!opened?.conversation.peek() || !can("chat:reply")) return null;
  if (event.key === "r") return () => focusField(".segments > button:not(.note-kind)");
  if (event.key === "n") return () => focusField(".note-kind");
  if (event.key === "c" && opened.conversation.peek().assignee_id === null) return () => claim(opened);
  if (event.key === "e" && opened.conversation.peek().status !== "resolved") return () => resolve(opened);
  return null;
}

/** Open the next or the previous conversation of the list. */
function openNeighbour(step) {
  const links = [...document.querySelectorAll(".inbox-row > a")];
  const current = links.findIndex((link) => link.getAttribute("aria-current") === "true");
  const next = links[current === -1 ? 0 : current + step];
  next?.click();
  next?.scrollIntoView({ block: "nearest" });
}

function focusField(kind) {
  document.querySelector(`.inbox-composer ${kind}`)?.click();
  requestAnimationFrame(() => document.querySelector(".inbox-composer textarea")?.focus());
}
