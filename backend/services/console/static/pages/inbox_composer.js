// The field for answers and internal notes, and why an answer cannot be sent now.

import { append, html, renderOnChange } from "../lib/dom.js";
import { formatNumber, t } from "../lib/i18n.js";
import { computed, createScope, effect, onDispose, signal } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import { colleagues, getColleagueName, isMe } from "../model/colleagues.js";
import { readDraft, writeDraft } from "../model/drafts.js";
import { can } from "../model/session.js";
import { icon, iconButton } from "../ui/icon.js";
import { loadModule } from "../ui/lazy.js";
import { reportErrors, showNotice } from "../ui/notice.js";

const MAX_CHARACTERS = 20_000;
const HAS_TOUCH = window.matchMedia("(pointer: coarse)").matches;
const CLOCK_MS = 30_000;

/** Return the area below the messages of *opened*. */
export function inboxComposer(opened) {
  if (!can("chat:reply")) return html.p({ class: "inbox-hint" }, icon("info"), t("readOnlyInbox"));
  const isNote = signal(false);
  const now = signal(Date.now());
  const timer = setInterval(() => (now.value = Date.now()), CLOCK_MS);
  onDispose(() => clearInterval(timer));
  const obstacle = computed(() => findObstacle(opened.conversation.value, now.value));
  return html.div(
    { class: "inbox-composer" },
    html.div({ class: "inbox-states", role: "status" }, () => accountState(opened), renderOnChange(() => obstacle.value && `${obstacle.value} ${opened.conversation.value.assignee_id} ${colleagues.value.size}`, (state) => state && obstacleState(obstacle.peek(), opened))),
    html.div(
      { class: "segments", role: "group", "aria-label": t("kindOfMessage") },
      kindButton("answer", () => !isNote.value, () => (isNote.value = false)),
      kindButton("internalNote", () => isNote.value, () => (isNote.value = true)),
    ),
    renderOnChange(() => isNote.value || obstacle.value === null, (isOpen) => isOpen && form(opened, isNote)),
  );
}

const kindButton = (key, isPressed, onclick) => html.button({ type: "button", "aria-pressed": () => String(isPressed()), class: key === "internalNote" ? "note-kind" : null, onclick }, t(key));

/** Return why answers cannot be sent: "taken", "window" or null. */
export function findObstacle(conversation, now) {
  const { assignee_id: assignee, window_closes_at: closesAt } = conversation;
  if (assignee && !isMe(assignee)) return "taken";
  return closesAt !== null && new Date(closesAt).getTime() <= now ? "window" : null;
}

function obstacleState(name, opened) {
  const { assignee_id: assignee, channel } = opened.conversation.peek();
  if (name === "window")
    return html.div({ class: "warning-box" }, icon("clock"), html.div(html.strong(t("windowClosedTitle")), html.p(t("windowClosedText", t(`channel_${channel}`)))), html.button({ type: "button", class: "button", onclick: () => chooseTemplate(opened) }, t("chooseTemplate")));
  return html.div(
    { class: "warning-box" },
    icon("lock"),
    html.div(html.strong(t("takenBy", getColleagueName(assignee))), html.p(t("takenText"))),
    can("chat:manage") && html.button({ type: "button", class: "button", onclick: () => reportErrors(opened.claim()) }, t("takeOver")),
  );
}

/** A channel that cannot send: messages wait until it can. */
function accountState(opened) {
  const { account_state: state, account_name: name, channel } = opened.conversation.value;
  if (state === "active" || channel === "web") return null;
  const waiting = opened.messages.value.filter((message) => message.direction === "outbound" && message.state === "queued").length;
  return html.div(
    { class: "warning-box" },
    icon("offline"),
    html.div(html.strong(t(state === "revoked" ? "accountRevoked" : "accountStopped", name)), html.p(waiting > 0 ? t("messagesWait", formatNumber(waiting)) : t("messagesWillWait"))),
    can("chat:manage") && html.a({ class: "button", href: consolePath("/settings/channels") }, t("openChannels")),
  );
}

async function chooseTemplate(opened) {
  const module = await reportErrors(loadModule(() => import("./inbox_templates.js")));
  const content = await module?.chooseTemplate(opened.conversation.peek());
  if (content) opened.send(content);
}

const loadFiles = () => loadModule(() => import("../model/inbox_uploads.js"));

async function attachFiles(opened, files) {
  const module = await reportErrors(loadFiles());
  if (module && !module.addFiles(opened, files)) showNotice(t("tooManyFiles"));
}

async function chooseFiles(opened) {
  const module = await reportErrors(loadModule(() => import("../ui/files.js")));
  module?.chooseFiles((items) => attachFiles(opened, items.map(({ file }) => file)));
}

/** Element for the files of the answer; their rows are loaded with the first one. */
function fileArea(opened) {
  const area = html.div({ "aria-live": "polite" });
  const scope = createScope();
  let isLoaded = false;
  effect(() => {
    if (isLoaded || !opened.files.value.length) return;
    isLoaded = true;
    reportErrors(loadModule(() => import("./inbox_files.js"))).then((module) => module && scope.run(() => append(area, module.fileRows(opened))));
  });
  return area;
}

/** Attach files that are dropped anywhere. Elsewhere, the shell adds dropped files as documents. */
function acceptDrops(opened) {
  const depth = signal(0);
  const steps = { dragenter: 1, dragleave: -1, dragover: 0 };
  const listener = (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    depth.value = event.type === "drop" ? 0 : Math.max(0, depth.peek() + steps[event.type]);
    if (event.type === "drop") attachFiles(opened, [...event.dataTransfer.files]);
  };
  for (const type of [...Object.keys(steps), "drop"]) {
    document.addEventListener(type, listener, { capture: true });
    onDispose(() => document.removeEventListener(type, listener, { capture: true }));
  }
  return () => depth.value > 0;
}

function form(opened, isNote) {
  const hasText = signal(false);
  const isDropTarget = acceptDrops(opened);
  const canSend = computed(() => (hasText.value || opened.files.value.length > 0) && opened.files.value.every(({ stage }) => stage.value === "ready"));
  const draftName = `inbox ${opened.id}`;
  const field = html.textarea({
    rows: 2,
    dir: "auto",
    maxlength: MAX_CHARACTERS,
    class: () => `input${isNote.value ? " note" : ""}`,
    placeholder: () => t(isNote.value ? "notePlaceholder" : "answerPlaceholder"),
    "aria-label": () => t(isNote.value ? "internalNote" : "answer"),
    oninput: () => update(true),
    onpaste: (event) => {
      if (!event.clipboardData.files.length) return;
      event.preventDefault();
      attachFiles(opened, [...event.clipboardData.files]);
    },
    onkeydown: (event) => {
      if (event.key === "Escape") return document.querySelector(".inbox-pane h2")?.focus();
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || HAS_TOUCH) return;
      event.preventDefault();
      send();
    },
  });
  field.value = readDraft(draftName);
  const update = (isTyping) => {
    hasText.value = field.value.trim() !== "";
    writeDraft(draftName, field.value);
    if (isTyping && !isNote.peek()) opened.typing.send(hasText.peek());
  };
  const send = async () => {
    const text = field.value.trim();
    if (!canSend.peek()) return;
    const internal = isNote.peek();
    const messages = opened.files.peek().length ? (await reportErrors(loadFiles()))?.takeMessages(opened, text) : [{ content: text }];
    if (!messages) return;
    field.value = "";
    update(false);
    opened.interruptedBy.value = null;
    // In order: the next one is sent when the server has stored the one before.
    for (const { content, label } of messages) await opened.send(content, { internal, label });
  };
  update(false);
  onDispose(() => opened.typing.send(false));
  return html.form(
    { class: () => `inbox-form${isDropTarget() ? " drop-target" : ""}`, onsubmit: (event) => (event.preventDefault(), send()) },
    fileArea(opened),
    field,
    html.div(
      { class: "inbox-form-foot" },
      html.span({ class: "faint" }, () => getHint(opened, isNote.value)),
      !HAS_TOUCH && html.span({ class: "faint inbox-keys" }, t("enterSends")),
      iconButton("clip", t("attachToAnswer"), { onclick: () => chooseFiles(opened) }),
      html.button({ class: "button primary", disabled: () => !canSend.value }, () => t(isNote.value ? "saveNote" : "send")),
    ),
  );
}

function getHint(opened, isNote) {
  if (isNote) return t("noteHint");
  if (opened.draft.value !== null) return t("agentWritesHint");
  const { mode, assignee_id: assignee } = opened.conversation.value;
  return mode === "bot" && assignee === null ? t("answerClaims") : "";
}
