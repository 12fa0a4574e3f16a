// Field for requests, with attachments and menus for collection, model and persona.

import { append, html, renderOnChange } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { createScope, effect, signal } from "../lib/reactive.js";
import * as agent from "../model/agent.js";
import { readDraft, writeDraft } from "../model/drafts.js";
import { can } from "../model/session.js";
import { uploads } from "../model/upload_state.js";
import { icon, iconButton } from "../ui/icon.js";
import { loadModule } from "../ui/lazy.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors } from "../ui/notice.js";
import { addTransferredFiles, chooseDocuments } from "./add_documents.js";

const MAX_CHARACTERS = 20_000;
const HAS_TOUCH = window.matchMedia("(pointer: coarse)").matches;

/**
 * @param {import("../model/thread.js").Thread} thread
 * @param {{onSend: () => void, onType: () => void}} options
 * @returns {{element: Element, setText: (text: string) => void}}
 */
export function composer(thread, { onSend, onType }) {
  const hasText = signal(false);
  const field = html.textarea({
    rows: 1,
    dir: "auto",
    maxlength: MAX_CHARACTERS,
    placeholder: t("composerPlaceholder"),
    "aria-label": t("composerLabel"),
    enterkeyhint: HAS_TOUCH ? "enter" : "send",
    oninput: () => {
      onType();
      update();
    },
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
    uploadArea(),
    html.div({ class: "composer-box", onclick: (event) => event.target === event.currentTarget && field.focus() }, field, toolRow(thread, hasText)),
  );
  return { element, setText };
}

/** Element for the progress of uploads, which is loaded with the first file. */
function uploadArea() {
  const area = html.div({ "aria-live": "polite" });
  const scope = createScope();
  let isLoaded = false;
  effect(() => {
    if (isLoaded || !uploads.value.length) return;
    isLoaded = true;
    loadModule(() => import("./composer_uploads.js")).then(({ uploadRows }) => scope.run(() => append(area, uploadRows())));
  });
  return area;
}

function toolRow(thread, hasText) {
  return html.div(
    { class: "composer-tools" },
    can("rag:write") && iconButton("clip", t("attachFiles"), { onclick: () => chooseDocuments(getCollection()) }),
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

function pasteFiles(event) {
  if (!event.clipboardData.files.length || !can("rag:write")) return;
  event.preventDefault();
  addTransferredFiles(event.clipboardData, getCollection());
}

async function removeEndedUploads() {
  if (uploads.peek().length) (await loadModule(() => import("../model/uploads.js"))).removeEndedUploads();
}
