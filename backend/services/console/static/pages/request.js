// A request of the user, with its branches, copy and edit.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { getRequestOptions } from "../model/agent.js";
import { iconButton } from "../ui/icon.js";
import { reportErrors, showNotice } from "../ui/notice.js";
import { branchSwitch } from "./branch_switch.js";

const MAX_CHARACTERS = 20_000;

export function requestView(message, thread) {
  const isEditing = signal(false);
  const editButton = iconButton("edit", t("editRequest"), { class: "small edit-request", disabled: () => thread.isBusy.value || !message.id.value, onclick: () => (isEditing.value = true) });
  const copy = () => navigator.clipboard.writeText(message.text).then(() => showNotice(t("copied")));
  const close = () => {
    isEditing.value = false;
    queueMicrotask(() => editButton.focus());
  };
  return html.article(
    { class: "request", "aria-label": t("yourRequest") },
    () => (isEditing.value ? editor(message, thread, close) : html.div({ class: "bubble", dir: "auto" }, message.text)),
    html.footer({ hidden: isEditing }, branchSwitch(message, thread), editButton, iconButton("copy", t("copy"), { class: "small", onclick: copy })),
  );
}

function editor(message, thread, close) {
  const field = html.textarea({ class: "input", dir: "auto", rows: 3, maxlength: MAX_CHARACTERS, "aria-label": t("editRequest") });
  field.value = message.text;
  queueMicrotask(() => {
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  });
  const send = () => {
    const text = field.value.trim();
    if (!text) return;
    close();
    if (text !== message.text) reportErrors(thread.edit(message, text, getRequestOptions()));
  };
  const handleKey = (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
    else return;
    event.preventDefault();
  };
  return html.form(
    { class: "request-editor", onsubmit: (event) => (event.preventDefault(), send()), onkeydown: handleKey },
    field,
    html.div({ class: "actions" }, html.button({ type: "button", class: "button plain", onclick: close }, t("cancel")), html.button({ class: "button primary" }, t("askAgain"))),
  );
}
