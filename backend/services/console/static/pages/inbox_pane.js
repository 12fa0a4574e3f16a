// The opened conversation of the inbox: head, messages, field for answers.

import { html, renderOnChange, replaceChildren } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { effect, onDispose, signal, untracked } from "../lib/reactive.js";
import { consolePath, navigate, route } from "../lib/router.js";
import { colleagues, getColleagueName } from "../model/colleagues.js";
import { InboxConversation } from "../model/inbox_conversation.js";
import { can } from "../model/session.js";
import { icon, iconButton } from "../ui/icon.js";
import { loadModule } from "../ui/lazy.js";
import { reportErrors } from "../ui/notice.js";
import { errorState, skeleton } from "../ui/states.js";
import { conversationActions, modeText } from "./inbox_actions.js";
import { conversationPath } from "./inbox_address.js";
import { inboxComposer } from "./inbox_composer.js";
import { getConversationName } from "./inbox_list.js";
import { getAuthorName, inboxMessages } from "./inbox_messages.js";
import { followEnd } from "./scrolling.js";

/**
 * @param {string} id
 * @param {import("../model/inbox.js").InboxList} list
 * @param {{current: InboxConversation | null}} holder gets the opened conversation
 */
export function inboxPane(id, list, holder) {
  const opened = new InboxConversation(id, (conversation) => list.apply(withoutPreview(conversation)));
  holder.current = opened;
  opened.open();
  onDispose(() => opened.close());
  const getKind = () => {
    if (opened.error.value) return opened.error.value;
    if (opened.isDeleted.value) return "deleted";
    return opened.conversation.value === null ? "loading" : "conversation";
  };
  return html.section(
    { class: "inbox-pane", "aria-label": t("conversation") },
    renderOnChange(getKind, (kind) => {
      if (kind === "loading") return html.div({ class: "inbox-state" }, backButton(), skeleton(6));
      if (kind === "conversation") return conversationView(opened);
      if (kind === "deleted" || kind.status === 404) return html.div({ class: "inbox-state" }, backButton(), html.h2({ tabindex: "-1" }, t("conversationMissing")), html.p({ class: "faint" }, t("inboxConversationMissing")));
      return html.div({ class: "inbox-state" }, backButton(), errorState(kind, () => opened.open()));
    }),
  );
}

/** The list loads the last message itself, and its time; the one of the pane is that of its start. */
function withoutPreview({ last_message: preview, updated_at: time, ...conversation }) {
  return conversation;
}

const backButton = () => html.a({ class: "tool inbox-back", href: consolePath(conversationPath(null)), "aria-label": t("backToInbox"), title: t("backToInbox") }, icon("arrow-left"));

function conversationView(opened) {
  const scroller = html.div({ class: "inbox-scroller", tabindex: "0", role: "group", "aria-label": t("messages") });
  const content = html.div({ class: "inbox-content" });
  scroller.append(content);
  const { isAtEnd, scrollToEnd } = followEnd(scroller);
  replaceChildren(content, [
    () => opened.hasEarlier.value && html.button({ type: "button", class: "button inbox-earlier", onclick: (event) => loadEarlier(event.currentTarget, opened, scroller) }, t("loadEarlier")),
    inboxMessages(opened),
  ]);
  readWhenVisible(opened);
  const heading = html.h2({ class: "truncate", tabindex: "-1", dir: "auto" }, () => (colleagues.value, getConversationName(opened.conversation.value)));
  queueMicrotask(() => showStart(opened, heading, scrollToEnd));
  return html.div(
    { class: "inbox-conversation" },
    html.header({ class: "inbox-head" }, backButton(), html.div({ class: "inbox-head-text" }, heading, subtitle(opened)), contactButton(opened), conversationActions(opened)),
    html.div({ class: "inbox-banner", role: "status" }, () => opened.isInterrupted.value && [icon("offline"), t("inboxInterrupted")]),
    conflict(opened),
    answerError(opened),
    scroller,
    html.button({ type: "button", class: "button inbox-to-end", hidden: () => isAtEnd.value, onclick: scrollToEnd }, icon("arrow-down"), t("latestMessage")),
    typingLine(opened),
    inboxComposer(opened),
    html.div({ class: "visually-hidden", role: "log", "aria-label": t("newMessages") }, announcement(opened)),
  );
}

function showStart(opened, heading, scrollToEnd) {
  const seq = Number(route.peek().query.get("m"));
  if (seq) return showMessage(opened, seq);
  scrollToEnd();
  if (window.matchMedia("(pointer: fine)").matches && !document.activeElement?.closest(".inbox-list")) heading.focus({ preventScroll: true });
}

/** Show a message that the search has found. */
async function showMessage(opened, seq) {
  await reportErrors(opened.loadMessage(seq));
  await new Promise((resolve) => setTimeout(resolve));
  const element = document.querySelector(`.inbox-message[data-seq="${seq}"]`);
  element?.scrollIntoView({ block: "center" });
  element?.classList.add("found");
  element?.focus({ preventScroll: true });
}

async function loadEarlier(button, opened, scroller) {
  button.disabled = true;
  const height = scroller.scrollHeight;
  await reportErrors(opened.loadEarlier());
  button.disabled = false;
  // The messages that were in view stay there.
  requestAnimationFrame(() => (scroller.scrollTop += scroller.scrollHeight - height));
}

function subtitle(opened) {
  const read = () => {
    const { channel, account_name: account, status } = opened.conversation.value;
    colleagues.value;
    return [t(`channel_${channel}`), channel === "web" ? null : account, modeText(opened.conversation.value), status === "open" ? null : t(`status_${status}`)].filter(Boolean).join(" · ");
  };
  return html.p({ class: "faint truncate", role: "status" }, read);
}

function contactButton(opened) {
  const { contact_id: id } = opened.conversation.peek();
  if (!id || !can("chat:manage")) return null;
  const open = async () => {
    const module = await reportErrors(loadModule(() => import("./inbox_contact.js")));
    module?.contactCard(id, (mergedId) => mergedId && navigate(conversationPath(opened.id), { replace: true }));
  };
  return iconButton("user", t("contactCard"), { onclick: open });
}

/** A colleague claimed the conversation at the same time. */
function conflict(opened) {
  return html.div({ class: "inbox-states", role: "alert" }, () => {
    const id = opened.takenBy.value;
    if (id === null) return null;
    return html.div({ class: "warning-box" }, icon("users"), html.div(html.strong(t("claimedFirst", (colleagues.value, getColleagueName(id)))), html.p(t("claimedFirstText"))), html.button({ type: "button", class: "button", onclick: () => (opened.takenBy.value = null) }, t("understood")));
  });
}

/** Why the agent has not answered. */
function answerError(opened) {
  return html.div({ class: "inbox-states", role: "status" }, () => {
    const error = opened.conversation.value.answer_error;
    return error && opened.conversation.value.mode === "bot" && html.div({ class: "warning-box" }, icon("warning"), html.div(html.strong(t("agentFailed")), html.p(error.detail ?? error.code)));
  });
}

function typingLine(opened) {
  return html.p({ class: "inbox-typing faint" }, () => {
    const names = [...opened.typing.actors.value].map((actor) => getAuthorName(actor, opened.conversation.value));
    return names.length > 0 && t("typing", names.join(", "));
  });
}

/** New messages of others, for screen readers. */
function announcement(opened) {
  const text = signal("");
  let lastSeq = opened.conversation.peek().last_seq;
  effect(() => {
    const fresh = opened.messages.value.filter((message) => message.seq > lastSeq && message.direction === "inbound");
    lastSeq = Math.max(lastSeq, ...opened.messages.value.map(({ seq }) => seq));
    if (fresh.length) text.value = fresh.map((message) => `${getAuthorName(message.author, opened.conversation.peek())}: ${message.content.text ?? ""}`).join("\n");
  });
  return () => text.value;
}

function readWhenVisible(opened) {
  const isVisible = signal(!document.hidden);
  const update = () => (isVisible.value = !document.hidden);
  document.addEventListener("visibilitychange", update);
  onDispose(() => document.removeEventListener("visibilitychange", update));
  effect(() => {
    opened.conversation.value.last_seq;
    if (isVisible.value) untracked(() => opened.markRead().catch(() => {}));
  });
}
