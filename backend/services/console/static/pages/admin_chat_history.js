// History of chat: search, read, export and delete conversations; erase a person.

import * as api from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatDateTime, formatRelativeTime, t } from "../lib/i18n.js";
import { computed, effect, signal } from "../lib/reactive.js";
import { route, updateQuery } from "../lib/router.js";
import { colleagues, loadColleagues } from "../model/colleagues.js";
import { confirmAction, openDialog } from "../ui/dialog.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors, showNotice } from "../ui/notice.js";
import { asyncContent } from "../ui/states.js";
import { pagedTable } from "../ui/table.js";
import { adminFrame } from "./admin_frame.js";
import { CHANNELS, getChannelName } from "./chat_channels.js";
import { getAuthorName } from "./inbox_messages.js";

const PAGE_SIZE = 50;
const FILTERS = ["q", "channel", "status", "since", "until"];
const STATUSES = ["open", "pending", "resolved"];

export function page() {
  // Equal filters are equal texts, so that only a change of a filter loads the table again.
  const filter = computed(() => JSON.stringify(readFilter(route.value.query)));
  const version = signal(0);
  const reload = () => version.update((value) => value + 1);
  loadColleagues();
  const body = html.div({ class: "page-body" });
  effect(() => {
    version.value;
    const parameters = JSON.parse(filter.value);
    replaceChildren(body, pagedTable({ label: t("chatHistory"), columns: getColumns(reload), getPage: (cursor) => api.get("/admin/chat/history", { ...parameters, limit: PAGE_SIZE, cursor }), empty: t("historyNoConversations") }));
  });
  return adminFrame("chatHistory", [exportLink(filter, "csv"), exportLink(filter, "jsonl")], filterForm(), body);
}

function exportLink(filter, format) {
  const getAddress = () => api.withQuery("/admin/chat/history/export", { ...JSON.parse(filter.value), format });
  return html.a({ class: "button", href: getAddress, download: `history.${format}` }, icon("download"), t(`historyExport_${format}`));
}

/** Return the parameters of the request: local times of the address become UTC. */
function readFilter(query) {
  const entries = FILTERS.map((name) => [name, query.get(name) ?? ""]).filter(([, value]) => value);
  return Object.fromEntries(entries.map(([name, value]) => [name, name === "since" || name === "until" ? toUtc(value) : value]));
}

function toUtc(local) {
  const time = new Date(local);
  return Number.isNaN(time.getTime()) ? "" : time.toISOString();
}

function filterForm() {
  const { query } = route.peek();
  const field = (name, label, attributes) =>
    html.label({ class: "compact-field" }, html.span(label), html.input({ class: "input", name, value: query.get(name) ?? "", ...attributes }));
  const choice = (name, label, options) =>
    html.label(
      { class: "compact-field" },
      html.span(label),
      html.select({ class: "input", name }, html.option({ value: "" }, t("all")), options.map(([value, text]) => html.option({ value, selected: query.get(name) === value }, text))),
    );
  const submit = (event) => {
    event.preventDefault();
    const { elements } = event.currentTarget;
    updateQuery(Object.fromEntries(FILTERS.map((name) => [name, elements[name].value.trim()])));
  };
  const reset = (event) => {
    event.preventDefault();
    for (const name of FILTERS) event.currentTarget.elements[name].value = "";
    updateQuery(Object.fromEntries(FILTERS.map((name) => [name, null])));
  };
  return html.form(
    { class: "filter-bar", role: "search", "aria-label": t("searchHistory"), onsubmit: submit, onreset: reset },
    field("q", t("words"), { type: "search", maxlength: 200, dir: "auto", autocomplete: "off" }),
    choice("channel", t("historyChannel"), CHANNELS.map((name) => [name, getChannelName(name)])),
    choice("status", t("state"), STATUSES.map((name) => [name, t(`historyStatus_${name}`)])),
    field("since", t("since"), { type: "datetime-local" }),
    field("until", t("until"), { type: "datetime-local" }),
    html.button({ class: "button" }, t("applyFilter")),
    html.button({ type: "reset", class: "button plain" }, t("clearFilter")),
  );
}

function getColumns(reload) {
  return [
    { label: t("historyConversation"), render: (item) => html.button({ type: "button", class: "link-button", dir: "auto", onclick: () => showConversation(item) }, getTitle(item)) },
    { label: t("historyChannel"), render: ({ channel }) => getChannelName(channel) },
    { label: t("state"), render: ({ status }) => t(`historyStatus_${status}`) },
    { label: t("person"), render: (item) => html.span({ class: "truncate target", title: getPerson(item), dir: "auto" }, () => getPersonName(item)) },
    { label: t("lastMessage"), render: ({ updated_at: time }) => html.time({ datetime: time }, formatRelativeTime(time)) },
    { render: (item) => actionMenu(item, reload) },
  ];
}

const getTitle = ({ title, id }) => title || id;

/** Return the owner or the contact of a conversation as `user:ID` or `contact:ID`, or null. */
function getPerson({ owner_id: user, contact_id: contact }) {
  if (user) return `user:${user}`;
  return contact ? `contact:${contact}` : null;
}

/** Return the name of the owner or the contact, or the id of one without a name. */
const getPersonName = (item) => item.contact_name || (colleagues.value.get(item.owner_id)?.name ?? getPerson(item) ?? "–");

function actionMenu(item, reload) {
  const person = getPerson(item);
  const run = async (action) => {
    if (await reportErrors(action())) reload();
  };
  const entries = [
    { label: t("readConversation"), icon: "chat", onSelect: () => showConversation(item) },
    null,
    { label: t("delete"), icon: "trash", isDanger: true, onSelect: () => run(() => deleteConversation(item)) },
  ];
  if (person) entries.push({ label: t("erasePerson"), note: t("erasePersonNote"), icon: "trash", isDanger: true, onSelect: () => run(() => erasePerson(person, getTitle(item))) });
  return menuButton(iconButton("more", t("historyConversationActions", getTitle(item)), { class: "small" }), () => entries, { align: "end" });
}

function showConversation({ id, ...item }) {
  openDialog({
    title: getTitle({ id, ...item }),
    className: "wide",
    hasCloseButton: true,
    content: () => asyncContent(() => api.get(`/admin/chat/history/${encodeURIComponent(id)}`), ({ messages }) => messageList(messages, item)),
  });
}

function messageList(messages, conversation) {
  if (!messages.length) return html.p(t("noMessages"));
  return html.ol({ class: "history-messages" }, messages.map((message) =>
    html.li(
      html.div({ class: "faint" }, html.span({ dir: "auto" }, getAuthorName(message.author, conversation)), " · ", html.time({ datetime: message.sent_at }, formatDateTime(message.sent_at)), message.internal && ` · ${t("historyInternalNote")}`),
      html.p({ dir: "auto" }, getMessageText(message)),
    ),
  ));
}

function getMessageText({ content, deleted_at: deletedAt }) {
  if (deletedAt) return t("historyMessageDeleted");
  return content.text || content.title || content.caption || t("messageOfType", content.type);
}

async function deleteConversation(item) {
  const isConfirmed = await confirmAction({ title: t("historyDeleteConversation", getTitle(item)), text: t("historyDeleteConversationText"), action: t("delete"), isDanger: true });
  if (!isConfirmed) return false;
  await api.remove(`/admin/chat/history/${encodeURIComponent(item.id)}`);
  showNotice(t("conversationDeleted"));
  return true;
}

async function erasePerson(person, name) {
  const isConfirmed = await confirmAction({ title: t("erasePersonTitle", name), text: t("erasePersonText"), action: t("erasePerson"), isDanger: true });
  if (!isConfirmed) return false;
  const { conversations } = await api.remove(`/admin/chat/history/people/${encodeURIComponent(person)}`);
  showNotice(t("personErased", conversations));
  return true;
}
