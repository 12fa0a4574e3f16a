// The rows of the inbox. Only those in view are elements.

import { html, renderOnChange } from "../lib/dom.js";
import { formatDateTime, formatNumber, formatRelativeTime, hasText, plural, t } from "../lib/i18n.js";
import { flush } from "../lib/reactive.js";
import { consolePath, route, updateQuery } from "../lib/router.js";
import { createVirtualList } from "../lib/virtual_list.js";
import { colleagues, getColleagueName } from "../model/colleagues.js";
import { user } from "../model/session.js";
import { icon } from "../ui/icon.js";
import { reportErrors } from "../ui/notice.js";
import { emptyState, errorState, skeleton } from "../ui/states.js";
import { modeText } from "./inbox_actions.js";
import { conversationPath } from "./inbox_address.js";
import { getAuthorName } from "./inbox_messages.js";

const ROW_HEIGHT = 92;
const MAX_COUNT = 99;

/** @param {import("../model/inbox.js").InboxList} list */
export function inboxList(list) {
  const getKind = () => {
    if (list.error.value) return list.error.value;
    if (list.conversations.value === null) return "loading";
    return list.conversations.value.length ? "rows" : "empty";
  };
  const content = renderOnChange(getKind, (kind) => {
    if (kind === "loading") return skeleton(8);
    if (kind === "rows") return rows(list);
    if (kind === "empty") return emptyState(t("noConversationsHere"), html.button({ type: "button", class: "button", onclick: showAll }, t("showAllConversations")));
    return errorState(kind, () => list.load());
  });
  return html.div({ class: "inbox-list-body" }, content);
}

function showAll() {
  for (const element of document.querySelectorAll(".inbox-filters select")) element.selectedIndex = element.getAttribute("aria-label") === t("state") ? element.options.length - 1 : 0;
  updateQuery({ status: "all", assignee: null, channel: null, q: null });
}

function rows(list) {
  const view = createVirtualList({
    items: () => list.conversations.value ?? [],
    rowHeight: ROW_HEIGHT,
    key: ({ id }) => id,
    render: (conversation) => row(conversation),
    onEnd: () => reportErrors(list.loadMore()),
    label: t("conversations"),
  });
  view.element.addEventListener("keydown", (event) => moveFocus(event, view));
  return html.div({ class: "inbox-rows" }, view.element, html.p({ class: "faint inbox-count", role: "status" }, () => countText(list)));
}

function countText(list) {
  const count = list.conversations.value?.length ?? 0;
  const text = plural(count, { one: t("conversationCountOne"), other: t("conversationCountOther") });
  return list.isComplete.value ? text : t("orMoreConversations", text);
}

/** The arrow keys move between the rows, also to those that are not elements yet. */
function moveFocus(event, view) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const current = event.target.closest("[aria-posinset]");
  if (!step || !current) return;
  event.preventDefault();
  const position = Number(current.getAttribute("aria-posinset")) + step;
  const top = (position - 1) * ROW_HEIGHT;
  const { scrollTop, clientHeight } = view.element;
  if (top < scrollTop) view.element.scrollTop = top;
  else if (top + ROW_HEIGHT > scrollTop + clientHeight) view.element.scrollTop = top + ROW_HEIGHT - clientHeight;
  view.measure();
  flush();
  view.element.querySelector(`[aria-posinset="${position}"] a`)?.focus({ preventScroll: true });
}

/** Return the name under which a conversation is listed. */
export function getConversationName({ contact_name: contact, owner_id: owner, title, is_group: isGroup }) {
  if (isGroup && title) return title;
  return contact || (owner ? getColleagueName(owner) : title) || t("unknownContact");
}

export function getUnreadCount({ last_seq: last, read_seq: read, last_message: message }) {
  return message && message.author === `user:${user.peek()?.id}` ? 0 : Math.max(0, last - read);
}

function row(conversation) {
  const { id, updated_at: time, channel, status, account_state: accountState } = conversation;
  const unread = getUnreadCount(conversation);
  return html.div(
    { class: () => `inbox-row${unread ? " unread" : ""}${route.value.query.get("c") === id ? " selected" : ""}` },
    html.a(
      { href: () => consolePath(conversationPath(id)), "aria-current": () => (route.value.query.get("c") === id ? "true" : null), dataset: { focus: "open", conversation: id } },
      html.span(
        { class: "inbox-row-head" },
        html.strong({ class: "truncate", dir: "auto" }, () => (colleagues.value, getConversationName(conversation))),
        html.time({ class: "faint", datetime: time, title: formatDateTime(time) }, formatRelativeTime(time)),
      ),
      html.span({ class: "inbox-row-text" }, html.span({ class: "truncate", dir: "auto" }, () => previewText(conversation)), unread > 0 && unreadBadge(unread)),
      html.span(
        { class: "inbox-row-foot faint" },
        html.span(t(`channel_${channel}`)),
        html.span({ class: "truncate" }, () => (colleagues.value, modeText(conversation))),
        status !== "open" && html.span({ class: "tag" }, t(`status_${status}`)),
        accountState !== "active" && channel !== "web" && html.span({ class: "inbox-alert" }, icon("offline"), t("notConnected")),
        conversation.last_message?.state === "failed" && html.span({ class: "inbox-alert" }, icon("warning"), t("delivery_failed")),
      ),
    ),
  );
}

const unreadBadge = (count) => html.span({ class: "inbox-unread number" }, count > MAX_COUNT ? `${MAX_COUNT}+` : formatNumber(count), html.span({ class: "visually-hidden" }, t("unread")));

function previewText(conversation) {
  const message = conversation.last_message;
  if (!message) return conversation.title;
  if (message.is_deleted) return t("messageDeleted");
  const key = `content_${message.type}`;
  const text = message.text || (hasText(key) ? t(key) : "");
  if (message.internal) return `${t("internalNote")}: ${text}`;
  return message.direction === "outbound" ? `${message.author === `user:${user.peek()?.id}` ? t("you") : getAuthorName(message.author, conversation)}: ${text}` : text;
}
