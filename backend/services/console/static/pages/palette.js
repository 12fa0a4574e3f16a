// Command palette: go to a screen, a conversation, a document or a package by typing.

import * as api from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { navigate } from "../lib/router.js";
import { can } from "../model/session.js";
import { openDialog } from "../ui/dialog.js";
import { icon } from "../ui/icon.js";
import { SCREENS } from "./screens.js";

const SEARCH_DELAY_MS = 120;

export function palette() {
  if (document.querySelector("dialog.palette")) return;
  openDialog({ title: t("openPalette"), className: "palette", content: createContent });
}

function createContent(close) {
  const entries = signal(getScreens(""));
  const index = signal(0);
  let requestNumber = 0;
  let timer = 0;
  const search = async () => {
    const number = ++requestNumber;
    const text = input.value.trim();
    entries.value = getScreens(text);
    index.value = 0;
    const found = await Promise.all([findConversations(text), findDocuments(text), findPackages(text)]);
    if (number === requestNumber) entries.value = [...getScreens(text), ...found.flat()];
  };
  const open = (entry) => {
    close();
    navigate(entry.path);
  };
  const list = html.div({ id: "palette-list", role: "listbox", "aria-label": t("openPalette") });
  const input = html.input({
    class: "input",
    role: "combobox",
    "aria-expanded": "true",
    "aria-controls": "palette-list",
    "aria-label": t("openPalette"),
    "aria-activedescendant": () => (entries.value.length ? `palette-${index.value}` : null),
    placeholder: t("palettePlaceholder"),
    autofocus: true,
    autocomplete: "off",
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(search, SEARCH_DELAY_MS);
    },
    onkeydown: (event) => handleKey(event, entries.peek(), index, open),
  });
  effect(() => {
    replaceChildren(list, entries.value.length ? entries.value.map((entry, position) => option(entry, position, index, open)) : html.p({ class: "faint palette-empty" }, t("nothingFound")));
  });
  effect(() => list.children[index.value]?.scrollIntoView({ block: "nearest" }));
  search();
  return html.div({ class: "palette-box" }, html.div({ class: "search-field" }, icon("search"), input), list);
}

function option(entry, position, index, open) {
  return html.div(
    { id: `palette-${position}`, role: "option", "aria-selected": () => String(index.value === position), onclick: () => open(entry), onpointermove: () => (index.value = position) },
    icon(entry.icon),
    html.span({ class: "truncate", dir: "auto" }, entry.label),
  );
}

function handleKey(event, entries, index, open) {
  const count = entries.length;
  if (!count) return;
  if (event.key === "ArrowDown") index.value = (index.peek() + 1) % count;
  else if (event.key === "ArrowUp") index.value = (index.peek() + count - 1) % count;
  else if (event.key === "Enter" && !event.isComposing) open(entries[index.peek()]);
  else return;
  event.preventDefault();
}

function getScreens(text) {
  const screens = SCREENS.filter((screen) => screen.icon && (!screen.permission || can(screen.permission))).map(({ title, path, icon: name }) => ({ icon: name, label: t(title), path }));
  const all = [{ icon: "plus", label: t("newConversation"), path: "/" }, ...screens];
  return all.filter(({ label }) => label.toLowerCase().includes(text.toLowerCase()));
}

async function findConversations(text) {
  if (!can("agent:query")) return [];
  const { items } = await api.get("/agent/sessions", { limit: 8, q: text }).catch(() => ({ items: [] }));
  return items.map(({ id, title }) => ({ icon: "chat", label: title, path: `/c/${id}` }));
}

async function findDocuments(text) {
  if (!text || !can("rag:read")) return [];
  const { items } = await api.get("/rag/documents", { limit: 5, q: text }).catch(() => ({ items: [] }));
  return items.map(({ title }) => ({ icon: "file", label: title, path: `/documents?q=${encodeURIComponent(title)}` }));
}

async function findPackages(text) {
  // A query needs a letter or a digit.
  if (!/[\p{L}\p{N}]/u.test(text) || !can("packages:read")) return [];
  const { items } = await api.get("/packages", { limit: 5, q: text }).catch(() => ({ items: [] }));
  return items.map(({ id, tracking_number: number, reference }) => ({ icon: "map", label: [number, reference].filter(Boolean).join(" · "), path: `/packages/${encodeURIComponent(id)}` }));
}
