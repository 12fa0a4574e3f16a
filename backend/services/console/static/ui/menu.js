// A button with a menu.
//
//   menuButton(button, () => [
//     { label, icon, note, onSelect },          // optional: isChecked, isDanger, href, isDisabled
//     null,                                     // divider
//   ], { side: "above", align: "end" })
//
// Keys: arrows, Home, End, first letters, Escape.

import { html } from "../lib/dom.js";
import { icon } from "./icon.js";
import { positionPopover } from "./popover.js";

/** Open a menu with *getItems()* when *button* is clicked. @returns {HTMLButtonElement} */
export function menuButton(button, getItems, options = {}) {
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => {
    if (button.getAttribute("aria-expanded") === "true") return;
    openMenu(button, getItems(), options);
  });
  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    button.click();
  });
  return button;
}

function openMenu(button, items, options) {
  const menu = html.div(
    { class: "menu", role: "menu", popover: "auto", "aria-label": button.getAttribute("aria-label") ?? button.textContent },
    items.filter((item) => item !== false).map((item) => (item ? menuItem(item, () => menu.hidePopover()) : html.hr({ role: "separator" }))),
  );
  // Inside a modal dialog, only its descendants can be used.
  (button.closest("dialog, nav, main, section") ?? document.body).append(menu);
  button.setAttribute("aria-expanded", "true");
  menu.addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    button.setAttribute("aria-expanded", "false");
    const hadFocus = menu.contains(document.activeElement) || document.activeElement === document.body;
    if (hadFocus) button.focus();
    menu.remove();
  });
  menu.addEventListener("keydown", (event) => moveFocus(event, menu));
  menu.showPopover();
  positionPopover(menu, button, options);
  const entries = getEntries(menu);
  moveTo(entries.find((entry) => entry.getAttribute("aria-checked") === "true") ?? entries[0], entries);
}

function menuItem(item, close) {
  const isChoice = item.isChecked !== undefined;
  const select = () => {
    close();
    item.onSelect?.();
  };
  const attributes = {
    role: isChoice ? "menuitemradio" : "menuitem",
    "aria-checked": isChoice ? String(item.isChecked) : null,
    tabindex: "-1",
    class: item.isDanger ? "danger" : null,
    onclick: select,
  };
  const content = [item.icon && icon(item.icon), html.span({ dir: "auto" }, item.label, item.note && html.small(item.note)), item.isChecked && icon("check")];
  if (item.href) return html.a({ ...attributes, href: item.href, download: item.download }, content);
  return html.button({ ...attributes, type: "button", disabled: item.isDisabled ?? false }, content);
}

const getEntries = (menu) => [...menu.querySelectorAll('[role^="menuitem"]:not(:disabled)')];

function moveFocus(event, menu) {
  const entries = getEntries(menu);
  const index = entries.indexOf(document.activeElement);
  const next = findNextEntry(event, entries, index);
  if (event.key === "Tab") menu.hidePopover();
  if (!next) return;
  event.preventDefault();
  moveTo(next, entries);
}

/** Focus *entry*. Only the focused entry is in the tab order, which makes a long menu scroll. */
function moveTo(entry, entries) {
  for (const each of entries) each.tabIndex = each === entry ? 0 : -1;
  entry?.focus();
}

function findNextEntry(event, entries, index) {
  const count = entries.length;
  if (event.key === "ArrowDown") return entries[(index + 1) % count];
  if (event.key === "ArrowUp") return entries[(index + count - 1) % count];
  if (event.key === "Home") return entries[0];
  if (event.key === "End") return entries[count - 1];
  if (event.key.length !== 1 || event.key === " " || event.ctrlKey || event.metaKey) return null;
  const letter = event.key.toLowerCase();
  return [...entries.slice(index + 1), ...entries.slice(0, index + 1)].find((entry) => entry.textContent.trim().toLowerCase().startsWith(letter));
}
