// Filters and search of the inbox, in the address.

import { html, renderOnChange } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { route, updateQuery } from "../lib/router.js";
import { CHANNELS } from "../model/channels.js";
import { colleagues, isMe } from "../model/colleagues.js";
import { icon } from "../ui/icon.js";
import { readFilters } from "./inbox_address.js";

const SEARCH_DELAY_MS = 250;
const STATUSES = ["open", "pending", "resolved", "all"];

export function inboxFilters() {
  const { status, channel } = readFilters();
  return html.div(
    { class: "inbox-filters", role: "search", "aria-label": t("filterConversations") },
    searchField(),
    select("status", t("state"), STATUSES.map((name) => [name, t(`status_${name}`)]), status),
    html.div({ class: "filter-slot" }, renderOnChange(() => colleagues.value, assigneeFilter)),
    select("channel", t("channel"), [["", t("allChannels")], ...CHANNELS.map((name) => [name, t(`channel_${name}`)])], channel),
  );
}

function searchField() {
  let timer = 0;
  const search = (event) => {
    clearTimeout(timer);
    const text = event.currentTarget.value.trim();
    timer = setTimeout(() => updateQuery({ q: text }), SEARCH_DELAY_MS);
  };
  return html.div(
    { class: "search-field" },
    icon("search"),
    html.input({ class: "input", type: "search", value: route.peek().query.get("q") ?? "", maxlength: 200, dir: "auto", placeholder: t("searchMessages"), "aria-label": t("searchMessages"), oninput: search }),
  );
}

function assigneeFilter(known) {
  const people = [...known.values()].filter(({ id, can_reply: canReply }) => canReply && !isMe(id)).map(({ id, name }) => [id, name]);
  const { assignee } = readFilters();
  const options = [["", t("allAssignees")], ["me", t("assignedToMe")], ["none", t("unassigned")], ...people];
  if (!options.some(([value]) => value === assignee)) options.push([assignee, t("aColleague")]);
  return select("assignee", t("assignee"), options, assignee);
}

function select(name, label, options, current) {
  return html.select(
    { class: "input", "aria-label": label, onchange: (event) => updateQuery({ [name]: event.currentTarget.value }) },
    options.map(([value, text]) => html.option({ value, selected: value === current }, text)),
  );
}
