// Sidebar: navigation, conversations by day with search, account.

import { html, keyedList } from "../lib/dom.js";
import { formatNumber, t } from "../lib/i18n.js";
import { computed, effect } from "../lib/reactive.js";
import { consolePath, route } from "../lib/router.js";
import * as model from "../model/conversations.js";
import { can } from "../model/session.js";
import { icon, iconButton, logo } from "../ui/icon.js";
import { loadModule } from "../ui/lazy.js";
import { menuButton } from "../ui/menu.js";
import { getErrorText, reportErrors } from "../ui/notice.js";
import { accountMenu } from "./account_menu.js";
import { SHORTCUT_LABELS } from "./shortcuts.js";
import { SCREENS } from "./screens.js";

const SEARCH_DELAY_MS = 200;
const DAY_MS = 86_400_000;
const LOAD_MORE_PIXELS = 400;

/** @param {{isOpen: import("../lib/reactive.js").Signal<boolean>, onToggle: () => void}} options */
export function sidebar({ isOpen, onToggle }) {
  if (can("agent:query")) model.loadConversations();
  return html.nav(
    { class: "sidebar", id: "sidebar", "aria-label": t("mainMenu"), inert: () => !isOpen.value },
    html.header(html.a({ class: "brand", href: consolePath("/") }, logo(), html.span(t("productName"))), iconButton("panel", t("closeMenu"), { onclick: onToggle })),
    html.ul({ class: "nav-links" }, can("agent:query") && newConversationLink(), SCREENS.filter((screen) => screen.icon && (!screen.permission || can(screen.permission))).map(navLink)),
    can("agent:query") && [searchField(), conversationList()],
    html.footer(accountMenu()),
  );
}

function newConversationLink() {
  return html.li(html.a({ class: "nav-link strong", href: consolePath("/"), title: SHORTCUT_LABELS.newConversation }, icon("plus"), html.span(t("newConversation"))));
}

function navLink(screen) {
  const isCurrent = () => route.value.path === screen.path || route.value.path.startsWith(`${screen.path}/`);
  return html.li(html.a({ class: "nav-link", href: consolePath(screen.path), "aria-current": () => (isCurrent() ? "page" : null) }, icon(screen.icon), html.span(t(screen.title)), () => navCount(screen)));
}

function navCount({ getCount }) {
  const count = getCount?.() ?? 0;
  return count > 0 && html.span({ class: "nav-count number" }, formatNumber(count), html.span({ class: "visually-hidden" }, t("unread")));
}

function searchField() {
  let timer = 0;
  const search = (event) => {
    clearTimeout(timer);
    const text = event.currentTarget.value.trim();
    timer = setTimeout(() => {
      model.searchText.value = text;
      model.loadConversations();
    }, SEARCH_DELAY_MS);
  };
  return html.div(
    { class: "search-field sidebar-search" },
    icon("search"),
    html.input({ class: "input", type: "search", placeholder: t("searchConversations"), "aria-label": t("searchConversations"), maxlength: 200, oninput: search }),
  );
}

function conversationList() {
  const rows = computed(() => groupByDay(model.conversations.value ?? []));
  const list = html.ul({ class: "conversation-list", role: "list" });
  const scroller = html.div({
    class: "conversation-scroller",
    onscroll: () => {
      if (scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < LOAD_MORE_PIXELS) reportErrors(model.loadMoreConversations());
    },
  });
  keyedList(list, () => rows.value, (row) => row.key, (row) => (row.peek().heading ? html.li({ class: "day-heading" }, row.peek().heading) : conversationRow(row)));
  scroller.append(list);
  return [
    scroller,
    html.div({ class: "list-state", role: "status" }, () => getListState()),
  ];
}

function getListState() {
  if (model.listError.value) return [html.p(getErrorText(model.listError.value)), html.button({ type: "button", class: "link-button", onclick: model.loadConversations }, t("tryAgain"))];
  if (model.conversations.value === null || model.conversations.value.length) return null;
  return html.p(model.searchText.peek() ? t("nothingFound") : t("noConversations"));
}

/** Return rows for *summaries* with a heading before each group of days. */
function groupByDay(summaries) {
  const today = new Date().setHours(0, 0, 0, 0);
  const rows = [];
  let last = null;
  for (const summary of summaries) {
    const group = getDayGroup(new Date(summary.updated_at).getTime(), today);
    if (group !== last) rows.push({ key: group, heading: t(group) });
    last = group;
    rows.push({ key: summary.id, ...summary });
  }
  return rows;
}

function getDayGroup(time, today) {
  if (time >= today) return "today";
  if (time >= today - DAY_MS) return "yesterday";
  return time >= today - 7 * DAY_MS ? "lastSevenDays" : "earlier";
}

function conversationRow(row) {
  const { id } = row.peek();
  const title = () => row.value.title;
  const more = menuButton(iconButton("more", t("conversationActions", title()), { class: "small" }), () => [
    { label: t("rename"), icon: "edit", onSelect: () => act("rename", row.peek()) },
    { label: t("export"), icon: "download", onSelect: () => act("exportAsMarkdown", row.peek()) },
    null,
    { label: t("delete"), icon: "trash", isDanger: true, onSelect: () => act("remove", row.peek()) },
  ]);
  effect(() => more.setAttribute("aria-label", t("conversationActions", title())));
  return html.li(
    { class: "conversation-row" },
    html.a({ class: "truncate", href: consolePath(`/c/${id}`), dir: "auto", "aria-current": () => (model.openConversationId.value === id ? "page" : null) }, title),
    () => row.value.state !== "idle" && html.span({ class: `state-dot ${row.value.state}`, role: "img", "aria-label": t(row.value.state === "waiting" ? "waitsForApproval" : "answerInProgress") }),
    more,
  );
}

async function act(name, summary) {
  const actions = await reportErrors(loadModule(() => import("./conversation_actions.js")));
  await actions?.[name](summary);
}
