// Field for requests, with attachments and menus for collection, model and persona.

import { html, keyedList, renderOnChange } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import * as agent from "../model/agent.js";
import { readDraft, writeDraft } from "../model/drafts.js";
import { can } from "../model/session.js";
import { addFiles, removeEndedUploads, removeUpload, retryUpload, uploads } from "../model/uploads.js";
import { chooseFiles, readDroppedFiles } from "../ui/files.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors } from "../ui/notice.js";
import { uploadRow } from "../ui/upload_row.js";

const MAX_CHARACTERS = 20_000;
const MAX_UPLOAD_ROWS = 5;
const HAS_TOUCH = window.matchMedia("(pointer: coarse)").matches;

/** @returns {{element: Element, setText: (text: string) => void}} */
export function composer(thread, { onSend }) {
  const hasText = signal(false);
  const field = html.textarea({
    rows: 1,
    dir: "auto",
    maxlength: MAX_CHARACTERS,
    placeholder: t("composerPlaceholder"),
    "aria-label": t("composerLabel"),
    enterkeyhint: HAS_TOUCH ? "enter" : "send",
    oninput: () => update(),
    onkeydown: (event) => handleKey(event, thread, field, send),
    onpaste: (event) => pasteFiles(event),
  });
  const update = () => {
    hasText.value = field.value.trim() !== "";
    writeDraft(thread.id.peek(), field.value);
  };
  const setText = (text) => {
    field.value = text;
    update();
    field.focus();
  };
  const send = () => {
    const text = field.value.trim();
    if (!text || thread.isBusy.peek()) return;
    writeDraft(thread.id.peek(), "");
    field.value = "";
    hasText.value = false;
    removeEndedUploads();
    reportErrors(thread.ask(text, agent.getRequestOptions()));
    requestAnimationFrame(onSend);
  };
  field.value = readDraft(thread.id.peek());
  hasText.value = field.value.trim() !== "";
  if (!HAS_TOUCH) queueMicrotask(() => document.activeElement === document.body && field.focus());
  const element = html.form(
    { class: "composer", onsubmit: (event) => (event.preventDefault(), send()) },
    uploadList(),
    html.div({ class: "composer-box", onclick: (event) => event.target === event.currentTarget && field.focus() }, field, toolRow(thread, hasText)),
  );
  return { element, setText };
}

function uploadList() {
  const list = html.div({ class: "composer-uploads", "aria-live": "polite" });
  return keyedList(
    list,
    () => uploads.value.slice(0, MAX_UPLOAD_ROWS),
    (upload) => upload.key,
    (held) => uploadRow(held.peek(), { onRemove: () => removeUpload(held.peek()), onRetry: (options) => retryUpload(held.peek(), options) }),
  );
}

function toolRow(thread, hasText) {
  return html.div(
    { class: "composer-tools" },
    can("rag:write") && iconButton("clip", t("attachFiles"), { onclick: () => chooseFiles((items) => addFiles(items, getCollection())) }),
    can("rag:read") && collectionMenu(),
    modelMenu(),
    html.span({ class: "spacer" }),
    renderOnChange(
      () => thread.isBusy.value,
      (isBusy) =>
        isBusy
          ? html.button({ type: "button", class: "send stop", "aria-label": t("stopAnswer"), title: t("stopAnswer"), onclick: () => reportErrors(thread.stop()) }, icon("stop"))
          : html.button({ class: "send", "aria-label": t("send"), title: t("send"), disabled: () => !hasText.value }, icon("arrow-up")),
    ),
  );
}

const getCollection = () => (agent.selectedCollection.peek() ? { collection: agent.selectedCollection.peek() } : {});

function collectionMenu() {
  const label = () => agent.selectedCollection.value ?? t("allDocuments");
  const button = html.button({ type: "button", class: "composer-menu" }, icon("layers"), html.span({ class: "truncate" }, label));
  effect(() => button.setAttribute("aria-label", t("searchIn", label())));
  return menuButton(
    button,
    () => [
      { label: t("allDocuments"), isChecked: agent.selectedCollection.peek() === null, onSelect: () => (agent.selectedCollection.value = null) },
      ...agent.collections.peek().map(({ name, description }) => ({ label: name, note: description, isChecked: agent.selectedCollection.peek() === name, onSelect: () => (agent.selectedCollection.value = name) })),
    ],
    { side: "above" },
  );
}

function modelMenu() {
  const label = () => [agent.selectedModel.value ?? agent.models.value[0]?.id ?? t("defaultModel"), agent.selectedPersona.value].filter(Boolean).join(" · ");
  const button = html.button({ type: "button", class: "composer-menu" }, icon("spark"), html.span({ class: "truncate" }, label));
  effect(() => button.setAttribute("aria-label", t("modelAndPersona", label())));
  return menuButton(button, getModelItems, { side: "above" });
}

function getModelItems() {
  const models = agent.models.peek().map(({ id, provider, default: isDefault, capabilities }) => ({
    label: id,
    note: capabilities.includes("writing") ? provider : t("quotesOnly"),
    isChecked: (agent.selectedModel.peek() ?? agent.models.peek()[0]?.id) === id,
    onSelect: () => agent.selectModel(isDefault ? null : id),
  }));
  const personas = agent.personas.peek().map(({ name, description }) => ({ label: name, note: description, isChecked: agent.selectedPersona.peek() === name, onSelect: () => (agent.selectedPersona.value = name) }));
  if (!personas.length) return models;
  return [...models, null, { label: t("noPersona"), isChecked: agent.selectedPersona.peek() === null, onSelect: () => (agent.selectedPersona.value = null) }, ...personas];
}

function handleKey(event, thread, field, send) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !HAS_TOUCH) {
    event.preventDefault();
    send();
  } else if (event.key === "ArrowUp" && !field.value) {
    const buttons = document.querySelectorAll(".request .edit-request:not(:disabled)");
    if (!buttons.length) return;
    event.preventDefault();
    buttons[buttons.length - 1].click();
  } else if (event.key === "Escape" && thread.isBusy.peek()) {
    event.preventDefault();
    reportErrors(thread.stop());
  }
}

async function pasteFiles(event) {
  if (!event.clipboardData.files.length || !can("rag:write")) return;
  event.preventDefault();
  addFiles(await readDroppedFiles(event.clipboardData), getCollection());
}
