// Actions below an answer: copy, regenerate, feedback, branches; model, time and tokens.

import { html } from "../lib/dom.js";
import { formatDuration, t } from "../lib/i18n.js";
import { getRequestOptions } from "../model/agent.js";
import { formatSources } from "../model/conversations.js";
import { openDialog } from "../ui/dialog.js";
import { iconButton } from "../ui/icon.js";
import { reportErrors, showNotice } from "../ui/notice.js";

import { branchSwitch } from "./branch_switch.js";

const MAX_COMMENT_CHARACTERS = 4000;

export function answerActions(message, thread) {
  const isWriting = () => message.status.value === "writing";
  return html.footer(
    { hidden: isWriting },
    branchSwitch(message, thread),
    iconButton("copy", t("copyAnswer"), { class: "small", onclick: () => copyAnswer(message) }),
    iconButton("repeat", t("regenerate"), { class: "small", disabled: () => thread.isBusy.value || !message.id.value, onclick: () => reportErrors(thread.regenerate(message, getRequestOptions())) }),
    feedbackButton(message, thread, "up", "thumb-up", t("goodAnswer")),
    feedbackButton(message, thread, "down", "thumb-down", t("badAnswer")),
    html.span({ class: "answer-info number" }, () => getInfoText(message)),
  );
}

function getInfoText({ info }) {
  if (!info.value) return "";
  const { model, took_ms: duration, tokens } = info.value;
  return [model, formatDuration(duration), tokens && t("tokenCount", tokens)].filter(Boolean).join(" · ");
}

// The citations are appended, so that a pasted answer keeps its sources.
async function copyAnswer(message) {
  const text = [message.text, ...formatSources(message.citations.peek(), t("sources"))].join("\n\n");
  await navigator.clipboard.writeText(text);
  showNotice(t("copied"));
}

function feedbackButton(message, thread, thumb, iconName, label) {
  const isPressed = () => message.feedback.value?.thumb === thumb;
  const toggle = async () => {
    const wasPressed = isPressed();
    await reportErrors(thread.sendFeedback(message, wasPressed ? null : thumb));
    if (!wasPressed && isPressed()) showNotice(t("feedbackThanks"), { action: t("addComment"), onAction: () => openComment(message, thread, thumb) });
  };
  return iconButton(iconName, label, { class: "small", "aria-pressed": () => String(isPressed()), disabled: () => !message.id.value, onclick: toggle });
}

function openComment(message, thread, thumb) {
  openDialog({
    title: t("addComment"),
    content: (close) => {
      const field = html.textarea({ class: "input", rows: 4, maxlength: MAX_COMMENT_CHARACTERS, dir: "auto", autofocus: true, "aria-label": t("comment") });
      field.value = message.feedback.peek()?.text ?? "";
      const send = async (event) => {
        event.preventDefault();
        await reportErrors(thread.sendFeedback(message, thumb, field.value));
        close();
      };
      return html.form({ class: "dialog-form", onsubmit: send }, field, html.div({ class: "actions" }, html.button({ type: "button", class: "button", onclick: () => close() }, t("cancel")), html.button({ class: "button primary" }, t("send"))));
    },
  });
}
