// Team inbox: filters, the list of conversations, and the opened one beside it.
//
// Address: ?status=&assignee=&channel=&q= select the list, c= the opened conversation, m= a message.

import { html, renderOnChange } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { computed, effect, onDispose, untracked } from "../lib/reactive.js";
import { consolePath, route } from "../lib/router.js";
import { loadColleagues } from "../model/colleagues.js";
import { InboxList } from "../model/inbox.js";
import { can, user } from "../model/session.js";
import { icon } from "../ui/icon.js";
import { loadStyle } from "../ui/lazy.js";
import { readFilters } from "./inbox_address.js";
import { inboxFilters } from "./inbox_filters.js";
import { startInboxKeys } from "./inbox_keys.js";
import { inboxList } from "./inbox_list.js";
import { inboxPane } from "./inbox_pane.js";
import { searchResults } from "./inbox_search.js";

export function page() {
  const opened = { current: null };
  const list = new InboxList(() => opened.current?.reload().catch(() => {}));
  const filter = computed(() => JSON.stringify(toParameters(readFilters())));
  const searchText = computed(() => route.value.query.get("q") ?? "");
  const openedId = computed(() => route.value.query.get("c"));
  loadStyle("prose");
  loadColleagues();
  effect(() => {
    const parameters = JSON.parse(filter.value);
    untracked(() => list.load(parameters));
  });
  list.start();
  onDispose(() => list.stop());

  startInboxKeys(opened);
  return html.div(
    { class: () => `inbox${openedId.value ? " has-open" : ""}` },
    html.section(
      { class: "inbox-list", "aria-label": t("conversations") },
      html.header(
        { class: "inbox-list-head" },
        html.h1({ class: "title" }, t("inbox")),
        html.span({ class: () => `status ${list.isLive.value ? "good" : "faint"}`, role: "status" }, () => t(list.isLive.value ? "inboxLive" : "inboxNotLive")),
        can("chat:manage") && html.a({ class: "tool", href: consolePath("/settings/channels"), "aria-label": t("channels"), title: t("channels") }, icon("settings")),
      ),
      inboxFilters(),
      renderOnChange(() => searchText.value, (text) => (text ? searchResults(text) : inboxList(list))),
    ),
    renderOnChange(() => openedId.value, (id) => (id ? inboxPane(id, list, opened) : nothingOpened(opened))),
  );
}

function nothingOpened(opened) {
  opened.current = null;
  return html.section({ class: "inbox-pane nothing", "aria-label": t("conversation") }, html.p({ class: "faint" }, t("chooseConversation")));
}

/** Return the parameters of GET /chat/conversations for the filters of the address. */
export function toParameters({ status, assignee, channel }) {
  const parameters = { status: status === "all" ? null : status, channel: channel || null };
  if (assignee === "me") parameters.assignee_id = user.peek().id;
  else if (assignee === "none") parameters.assigned = false;
  else if (assignee) parameters.assignee_id = assignee;
  return parameters;
}
