// Conversation screen, for "/" (new) and "/c/:id".

import { afterPaint, append, html, renderOnChange } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { computed, createScope, effect, onDispose, signal, untracked } from "../lib/reactive.js";
import { consolePath, matchPath, navigate, route } from "../lib/router.js";
import { loadAgentOptions } from "../model/agent.js";
import { onConversationChange, openConversationId } from "../model/conversations.js";
import { readDraft, writeDraft } from "../model/drafts.js";
import { closeEvidence } from "../model/evidence.js";
import { Thread } from "../model/thread.js";
import { iconButton } from "../ui/icon.js";
import { loadModule, loadStyle } from "../ui/lazy.js";
import { reportErrors } from "../ui/notice.js";
import { errorState, skeleton } from "../ui/states.js";
import { composer } from "./composer.js";
import { home } from "./home.js";
import { followEnd } from "./scrolling.js";

const getId = () => matchPath("/c/:id", route.value.path)?.id ?? null;

export function conversationPage() {
  const thread = signal(null);
  // The menus that need them are closed.
  afterPaint(loadAgentOptions);
  // A new conversation gets its address while its first answer is streamed: the thread stays.
  effect(() => {
    const id = getId();
    route.value;
    untracked(() => {
      if (thread.peek() && thread.peek().id.peek() === id) return;
      thread.peek()?.close();
      thread.value = new Thread();
      openConversationId.value = id;
      if (id) thread.peek().open(id);
    });
  });
  onDispose(() => thread.peek().close());
  onDispose(() => closeEvidence({ restoresFocus: false }));
  onDispose(() => (openConversationId.value = null));
  onDispose(onConversationChange((id) => id === thread.peek().id.peek() && thread.peek().reload().catch(() => {})));
  return html.main({ id: "main", class: "conversation", tabindex: "-1" }, renderOnChange(() => thread.value, threadView));
}

function threadView(thread) {
  const isNew = thread.id.peek() === null;
  untracked(() => closeEvidence({ restoresFocus: false }));
  effect(() => {
    document.title = `${thread.title.value || t("newConversation")} · ${t("productName")}`;
  });
  effect(() => {
    const id = thread.id.value;
    if (isNew && id && openConversationId.peek() !== id) {
      openConversationId.value = id;
      writeDraft(id, readDraft(null));
      writeDraft(null, "");
      untracked(() => navigate(`/c/${id}`));
    }
  });
  const isEmpty = computed(() => thread.messages.value.length === 0);
  const scroller = html.div({ class: "conversation-body", tabindex: "-1" });
  const scrolling = followEnd(scroller);
  const input = composer(thread, { onSend: scrolling.scrollToEnd, onType: prefetch });
  if (isNew && readDraft(null)) afterPaint(prefetch);
  append(scroller, [
    messagesColumn(thread, isEmpty),
    () => isEmpty.value && emptyContent(thread, isNew, input),
  ]);
  return html.div(
    { class: "conversation-frame" },
    scroller,
    html.div({ class: "to-end" }, iconButton("arrow-down", t("scrollToEnd"), { hidden: () => scrolling.isAtEnd.value || isEmpty.value, onclick: scrolling.scrollToEnd })),
    () => thread.loadError.value?.status !== 404 && input.element,
    announcements(thread),
  );
}

const loadMessages = () => Promise.all([loadModule(() => import("./messages.js")), loadStyle("messages"), loadStyle("prose")]);

/** Load what shows messages while the user writes the first question, then what shows Markdown. */
function prefetch() {
  loadMessages()
    .then(() => loadModule(() => import("../ui/rich_text.js")))
    .catch(() => {});
}

/** Column of the messages; its module is loaded with the first message. */
function messagesColumn(thread, isEmpty) {
  const column = html.div({ class: "messages-column", hidden: isEmpty }, html.h1({ class: "visually-hidden" }, () => thread.title.value || t("newConversation")));
  const scope = createScope();
  let isLoaded = false;
  effect(() => {
    if (isLoaded || isEmpty.value) return;
    isLoaded = true;
    reportErrors(loadMessages().then(([{ messageList }]) => !scope.isDisposed && scope.run(() => append(column, messageList(thread)))));
  });
  return column;
}

function emptyContent(thread, isNew, input) {
  if (thread.loadError.value) {
    const error = thread.loadError.value;
    if (error.status !== 404) return html.div({ class: "conversation-error" }, errorState(error, () => thread.open(thread.id.peek())));
    return html.div({ class: "conversation-error" }, html.h1({ class: "title" }, t("conversationMissing")), html.p(t("conversationMissingText")), html.a({ class: "button", href: consolePath("/") }, t("newConversation")));
  }
  if (isNew) return untracked(() => home({ onExample: input.setText }));
  return thread.isLoading.value ? html.div({ class: "messages-column" }, skeleton(6)) : html.p({ class: "messages-column faint" }, t("emptyConversation"));
}

/** Announce an answer once when it has ended, not each token. */
function announcements(thread) {
  const region = html.div({ class: "visually-hidden", role: "log", "aria-live": "polite", "aria-label": t("announcements") });
  let wasBusy = false;
  effect(() => {
    const isBusy = thread.isBusy.value;
    const last = thread.messages.peek().at(-1);
    if (isBusy && !wasBusy) region.textContent = t("answerStarted");
    if (!isBusy && wasBusy && last) announceEnd(region, last);
    wasBusy = isBusy;
  });
  return region;
}

async function announceEnd(region, message) {
  const module = await loadModule(() => import("./announcement.js")).catch(() => null);
  if (module) region.textContent = module.getAnnouncement(message);
}
