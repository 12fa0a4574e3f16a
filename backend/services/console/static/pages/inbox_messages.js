// The messages of a conversation of the inbox, with their delivery.

import { html, keyedList, renderOnChange } from "../lib/dom.js";
import { formatDate, formatDateTime, formatTime, hasText, t } from "../lib/i18n.js";
import { computed } from "../lib/reactive.js";
import { retryDelivery } from "../model/channels.js";
import { getColleagueName } from "../model/colleagues.js";
import { can } from "../model/session.js";
import { confirmAction } from "../ui/dialog.js";
import { icon } from "../ui/icon.js";
import { getErrorText, reportErrors, showNotice } from "../ui/notice.js";
import { messageContent } from "./inbox_content.js";

const STATE_ICONS = { queued: "clock", sending: "clock", sent: "check", delivered: "check", read: "check", failed: "warning", unknown: "warning", cancelled: "close" };

// Errors that a repetition does not change.
const FINAL_ERRORS = new Set(["window_closed", "template_not_approved", "invalid_content", "validation_failed"]);

/** Return the list of messages, own ones that are not stored yet, and the agent's draft. */
export function inboxMessages(opened) {
  const rows = computed(() => groupByDay(opened.messages.value));
  const list = html.ol({ class: "inbox-messages", role: "list", "aria-label": t("messages") });
  keyedList(list, () => rows.value, (row) => row.key, (row) => (row.peek().day ? html.li({ class: "inbox-day" }, row.peek().day) : messageItem(opened, row)));
  const pending = html.ol({ class: "inbox-messages", role: "list", "aria-label": t("notSentYet"), hidden: () => opened.pending.value.length === 0 });
  keyedList(pending, () => opened.pending.value, (entry) => entry.client_id, (entry) => pendingItem(opened, entry));
  return [list, pending, draft(opened)];
}

function groupByDay(messages) {
  const rows = [];
  let last = null;
  for (const message of messages) {
    const day = formatDate(message.sent_at);
    if (day !== last) rows.push({ key: `day ${message.id}`, day });
    last = day;
    rows.push({ key: message.id, message });
  }
  return rows;
}

/** Return the name of an author: `user:ID`, `contact:ID`, `agent`, `account:ID` or `system`. */
export function getAuthorName(author, conversation) {
  if (author.startsWith("user:")) return getColleagueName(author.slice(5));
  if (author.startsWith("contact:")) return conversation?.contact_name || t("unknownContact");
  return author === "agent" ? t("agent") : t("system");
}

function messageItem(opened, row) {
  const { id, direction, internal, author, seq, sent_at: time } = row.peek().message;
  // The same object as long as the message is unchanged.
  const message = computed(() => row.value.message);
  const content = () => JSON.stringify([message.value.content, message.value.deleted_at, message.value.attachments]);
  return html.li(
    { class: `inbox-message ${internal ? "note" : direction}`, id: `message-${id}`, dataset: { seq: String(seq) }, tabindex: "-1" },
    html.div(
      { class: "inbox-message-head" },
      html.strong({ dir: "auto" }, () => getAuthorName(author, opened.conversation.value)),
      internal && html.span({ class: "tag" }, t("internalNote")),
      html.time({ class: "faint", datetime: time, title: formatDateTime(time) }, formatTime(time)),
    ),
    renderOnChange(content, () => html.div({ class: "inbox-message-body" }, messageContent(message.peek()))),
    html.div({ class: "inbox-message-foot" }, () => deliveryState(opened, message.value), () => message.value.edited_at && html.span({ class: "faint" }, t("edited")), () => reactions(message.value)),
  );
}

const reactions = (message) => message.reactions.length > 0 && html.span({ class: "tags" }, message.reactions.map(({ emoji }) => html.span({ class: "tag" }, emoji)));

/** How far an outbound message has come; web conversations deliver nothing. */
function deliveryState(opened, message) {
  const { state, direction, internal, deleted_at: deletedAt } = message;
  if (direction !== "outbound" || internal || deletedAt || opened.conversation.peek()?.channel === "web") return null;
  const isBad = state === "failed" || state === "unknown";
  return html.span(
    { class: `inbox-delivery ${state}${isBad ? " bad" : ""}` },
    icon(STATE_ICONS[state] ?? "info"),
    html.span(t(`delivery_${state}`), isBad && html.span(": ", describeFailure(message))),
    isBad && can("chat:manage") && html.button({ type: "button", class: "link-button", onclick: () => retry(message) }, t("sendAgain")),
  );
}

/** Return a sentence for known error codes, else the provider's text. */
export function describeFailure({ state, error }) {
  const code = String(error?.code ?? "");
  if (/^132\d{3}$/.test(code)) return t("failure_template", error.detail ?? code);
  if (hasText(`failure_${code}`)) return t(`failure_${code}`);
  return error?.detail || (state === "unknown" ? t("failure_unknown") : code || t("failure_other"));
}

async function retry(message) {
  if (message.state === "unknown" && !(await confirmAction({ title: t("sendAgainTitle"), text: t("sendAgainText"), action: t("sendAgain") }))) return;
  const isFound = await reportErrors(retryDelivery(message));
  if (isFound === false) showNotice(t("nothingToSendAgain"));
}

function pendingItem(opened, entry) {
  const { client_id: id, content, label, internal } = entry.peek();
  const error = () => entry.value.error;
  const button = (key, onclick) => html.button({ type: "button", class: "link-button", onclick }, t(key));
  const saveAsNote = () => {
    opened.discard(id);
    opened.send(content, { internal: true });
  };
  return html.li(
    { class: `inbox-message ${internal ? "note" : "outbound"} pending` },
    html.div({ class: "inbox-message-body" }, html.p({ class: "inbox-text", dir: "auto" }, typeof content === "string" ? content : (label ?? t("templateNamed", content.name)))),
    html.div({ class: "inbox-message-foot", role: "status" }, () =>
      error()
        ? html.span({ class: "inbox-delivery bad" }, icon("warning"), html.span(`${t("notSent")}: ${describeSendError(opened, error())}`))
        : html.span({ class: "inbox-delivery" }, icon("clock"), t("delivery_sending")),
    ),
    () => error() && html.div({ class: "inbox-message-foot" }, !FINAL_ERRORS.has(error().code) && button("tryAgain", () => opened.resend(id)), typeof content === "string" && !internal && button("saveAsNote", saveAsNote), button("discard", () => opened.discard(id))),
  );
}

function describeSendError(opened, error) {
  if (error.code === "taken") return t("takenBy", getColleagueName(opened.takenBy.value ?? ""));
  if (error.code === "template_not_approved") return t("templateNotApproved", error.message);
  return error.code === "window_closed" ? t("windowClosedShort") : getErrorText(error);
}

/** The answer that the agent is writing, or that it no longer sends because a person answered. */
function draft(opened) {
  return html.div(
    { class: "inbox-draft-area", "aria-live": "off" },
    () => opened.draft.value !== null && html.div({ class: "inbox-message outbound draft" }, html.div({ class: "inbox-message-head" }, html.strong(t("agent")), html.span({ class: "faint" }, t("agentWrites"))), html.p({ class: "inbox-text", dir: "auto" }, () => opened.draft.value || "…")),
    html.div({ role: "status" }, () => opened.interruptedBy.value && html.p({ class: "inbox-hint" }, icon("info"), t("agentInterrupted", getColleagueName(opened.interruptedBy.value)))),
  );
}
