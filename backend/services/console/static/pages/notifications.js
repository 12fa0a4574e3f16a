// Notifications: list with links, mark as read, and whether the system shows them.

import { html } from "../lib/dom.js";
import { formatDateTime, formatRelativeTime, hasText, t } from "../lib/i18n.js";
import { consolePath } from "../lib/router.js";
import * as model from "../model/notifications.js";
import { icon } from "../ui/icon.js";
import { reportErrors } from "../ui/notice.js";
import { emptyState, skeleton } from "../ui/states.js";

const ICONS = { "document-ready": "check", "document-failed": "warning", "approval-waiting": "clock" };

export function page() {
  return html.div(
    { class: "page-frame" },
    html.header(
      { class: "page-header" },
      html.h1({ class: "title" }, t("notifications")),
      html.div({ class: "actions" }, () => model.unreadCount.value > 0 && html.button({ type: "button", class: "button", onclick: markAll }, icon("check"), t("markAllRead"))),
    ),
    html.p({ class: "faint", role: "status" }, () => t(model.isLive.value ? "notificationsLive" : "notificationsNotLive")),
    html.div({ class: "page-body" }, () => {
      if (model.notifications.value === null) return skeleton(4);
      if (!model.notifications.value.length) return emptyState(t("noNotifications"));
      return html.ul({ class: "notification-list" }, model.notifications.value.map(notificationItem));
    }),
    html.div(() => model.hasMore.value && html.button({ type: "button", class: "button", onclick: () => reportErrors(model.loadMoreNotifications()) }, t("showMore"))),
  );
}

const markAll = () => reportErrors(model.markRead(model.notifications.peek()[0]));

function notificationItem(notification) {
  const { kind, link, time, isRead } = notification;
  const title = getTitle(notification);
  return html.li(
    { class: `notification${isRead ? "" : " unread"}` },
    icon(ICONS[kind] ?? "bell"),
    html.div(
      { class: "notification-text" },
      link.startsWith("/") ? html.a({ href: toConsolePath(link), dir: "auto" }, title) : html.span({ dir: "auto" }, title),
      html.div({ class: "faint" }, html.time({ datetime: time, title: formatDateTime(time) }, formatRelativeTime(time)), !isRead && html.span({ class: "visually-hidden" }, t("unread"))),
    ),
    !isRead && html.button({ type: "button", class: "link-button", onclick: () => reportErrors(model.markRead(notification)) }, t("markRead")),
  );
}

/** Links of the server are paths of the console, with or without its prefix. */
function toConsolePath(link) {
  const path = link.replace(/^\/console(?=\/)/, "").replace(/^\/chat\//, "/c/");
  return consolePath(path);
}

/** The server writes English titles; known kinds are shown in the user's language. */
function getTitle({ kind, title }) {
  const key = `notification_${kind}`;
  return hasText(key) ? t(key, title.replace(/ (?:is ready|could not be read)$/, "")) : title;
}
