// Messages that the search of the inbox has found.

import * as api from "../lib/api.js";
import { append, html } from "../lib/dom.js";
import { formatDateTime, t } from "../lib/i18n.js";
import { consolePath } from "../lib/router.js";
import { reportErrors } from "../ui/notice.js";
import { asyncContent, emptyState } from "../ui/states.js";
import { conversationPath } from "./inbox_address.js";
import { getConversationName } from "./inbox_list.js";
import { getAuthorName } from "./inbox_messages.js";

const PAGE_SIZE = 30;
const CONTEXT = 60;

/** Return the list of messages with all words of *text*. */
export function searchResults(text) {
  const load = (cursor) => api.get("/chat/search", { q: text, limit: PAGE_SIZE, cursor });
  return asyncContent(
    () => load(null),
    ({ items, next_cursor: cursor }) => {
      if (!items.length) return emptyState(t("nothingFound"));
      const list = html.ul({ class: "inbox-hits", role: "list", "aria-label": t("searchResults") }, items.map(hit));
      return [list, moreButton(list, cursor, load)];
    },
    { className: "inbox-search-results" },
  );
}

function moreButton(list, first, load) {
  let cursor = first;
  const button = html.button({ type: "button", class: "button more-button", hidden: cursor === null }, t("showMore"));
  button.addEventListener("click", async () => {
    button.disabled = true;
    const page = await reportErrors(load(cursor));
    button.disabled = false;
    if (!page) return;
    append(list, page.items.map(hit));
    cursor = page.next_cursor;
    button.hidden = cursor === null;
  });
  return button;
}

function hit({ message, conversation, highlights }) {
  return html.li(
    html.a(
      { class: "inbox-hit", href: () => consolePath(conversationPath(conversation.id, message.seq)) },
      html.strong({ class: "truncate", dir: "auto" }, getConversationName(conversation)),
      html.span({ class: "inbox-hit-text", dir: "auto" }, html.span({ class: "faint" }, `${getAuthorName(message.author, conversation)}: `), excerpt(message.content.text ?? "", highlights)),
      html.time({ class: "faint", datetime: message.sent_at }, formatDateTime(message.sent_at)),
    ),
  );
}

/** Return the part of *text* around the first found word. Ranges count code points. */
function excerpt(text, highlights) {
  const characters = [...text];
  const start = Math.max(0, (highlights[0]?.[0] ?? 0) - CONTEXT);
  const end = Math.min(characters.length, start + 4 * CONTEXT);
  const parts = [start > 0 && "…"];
  let position = start;
  for (const [from, to] of highlights) {
    if (from < position || to > end) continue;
    parts.push(characters.slice(position, from).join(""), html.strong({ class: "inbox-found" }, characters.slice(from, to).join("")));
    position = to;
  }
  return [...parts, characters.slice(position, end).join(""), end < characters.length && "…"];
}
