// The elements of the chat. A finished answer is announced once; text that is being written is not.

import { create, createIcon } from "./dom.js";
import { createLink, renderMarkdown } from "./markdown.js";
import { t } from "./texts.js";

const CITATION = / ?\[\d{1,3}\](?!\()/g;
const NEAR_END_PX = 80;
const MAX_CHARACTERS = 4000;

/**
 * @param {import("./conversation.js").Conversation} conversation
 * @param {{title: string, greeting: string, isOpen: boolean}} config of the account
 * @param {(() => void) | null} close closes the frame; null in a page of its own
 */
export function createView(conversation, config, close) {
  const title = config.title || t("chat");
  const rows = create("div", { class: "rows" });
  const log = create("div", { class: "log", role: "region", "aria-label": t("messages"), tabindex: "0" }, rows);
  const live = create("div", { class: "visually-hidden", role: "status" });
  const notice = create("p", { class: "notice", role: "alert", hidden: true });
  const composer = createComposer(conversation);
  const elements = new Map(); // rows by id, with what they show

  const render = () => {
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
    const wanted = listRows(conversation, config);
    for (const [id, row] of elements) if (!wanted.some((each) => each.id === id)) elements.delete(id) && row.element.remove();
    wanted.forEach(({ id, version, build }, index) => {
      const known = elements.get(id);
      if (known?.version !== version) {
        const element = build();
        if (known) known.element.replaceWith(element);
        elements.set(id, { element, version });
      }
      const { element } = elements.get(id);
      if (rows.children[index] !== element) rows.insertBefore(element, rows.children[index] ?? null);
    });
    if (isAtEnd) log.scrollTop = log.scrollHeight;
    notice.hidden = conversation.isConnected && notice.dataset.kind !== "final";
    if (!conversation.isConnected && notice.dataset.kind !== "final") notice.textContent = t("offline");
  };

  const end = (key) => {
    notice.dataset.kind = "final";
    notice.textContent = t(key);
    notice.hidden = false;
    composer.element.hidden = true;
  };

  let frame = 0;
  conversation.addEventListener("changed", () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(render);
  });
  conversation.addEventListener("arrived", ({ detail: { author, text } }) => {
    live.textContent = `${t(author)}: ${renderMarkdown(text.slice(0, MAX_CHARACTERS)).textContent}`;
  });
  conversation.addEventListener("failed", ({ detail: { code } }) => end(code === "account_stopped" ? "stopped" : "reload"));
  if (!config.isOpen) end("stopped");
  render();

  const header = create("header", {}, create("h1", { dir: "auto" }, title), close && create("button", { type: "button", class: "close", "aria-label": t("close"), onclick: close }, createIcon("M6 6l12 12M18 6L6 18")));
  return { element: create("main", { class: "chat" }, header, log, live, notice, composer.element), focus: () => (composer.element.hidden ? log : composer.input).focus() };
}

/** Return the rows of the log: `{id, version, build}`. A row with the same version is kept. */
function listRows(conversation, config) {
  const { state, outgoing, draft } = conversation;
  const rows = [];
  const addNote = (id, key) => rows.push({ id, version: key, build: () => create("p", { class: "note" }, t(key)) });
  if (config.greeting) rows.push({ id: "greeting", version: "", build: () => bubble("assistant", renderMarkdown(config.greeting)) });
  for (const message of conversation.list) rows.push({ id: message.id, version: JSON.stringify(message), build: () => messageRow(conversation, message) });
  for (const message of outgoing) rows.push({ id: message.id, version: `${message.error?.message}`, build: () => outgoingRow(conversation, message) });
  if (draft !== null) rows.push({ id: "draft", version: draft, build: () => bubble("assistant", renderMarkdown(draft.replace(CITATION, "")), { "aria-busy": "true" }) });
  else if (conversation.isWaiting || conversation.isColleagueTyping) rows.push({ id: "typing", version: "", build: typingRow });
  if (state?.status === "resolved") addNote("resolved", "resolved");
  else if (state?.mode === "human") addNote("human", "human");
  else if (state?.has_failed && !draft) addNote("failed", "failed");
  return rows;
}

function bubble(author, content, attributes = {}) {
  const isOwn = author === "visitor";
  return create("div", { class: `message ${author}`, ...attributes }, create("span", { class: isOwn ? "visually-hidden" : "author" }, t(isOwn ? "you" : author)), create("div", { class: "bubble", dir: "auto" }, content));
}

function messageRow(conversation, { author, text, options, files, is_edited: isEdited, is_deleted: isDeleted }) {
  if (isDeleted) return bubble(author, create("em", {}, t("deleted")));
  const content = author === "visitor" ? [create("p", { class: "plain" }, text)] : [renderMarkdown(author === "assistant" ? text.replace(CITATION, "") : text)];
  for (const { name, url } of files) content.push(create("p", { class: "file" }, url ? createLink(url, name || t("file")) : name || t("file")));
  if (options.length) content.push(create("div", { class: "options" }, options.map((option) => (option.url ? createLink(option.url, option.title) : create("button", { type: "button", onclick: () => conversation.send(option.title) }, option.title)))));
  if (isEdited) content.push(create("small", {}, t("edited")));
  return bubble(author, content);
}

function outgoingRow(conversation, message) {
  const { error, text } = message;
  const row = bubble("visitor", create("p", { class: "plain" }, text), { "aria-busy": error ? null : "true" });
  if (!error) return row;
  const reason = error.status === 429 ? t("tooMany", error.retryAfter || 60) : error.code === "contact_blocked" ? t("blocked") : t(error.code === "origin_not_allowed" ? "reload" : "notSent");
  row.append(create("p", { class: "failed", role: "alert" }, reason, " ", create("button", { type: "button", onclick: () => conversation.deliver(message) }, t("tryAgain"))));
  return row;
}

const typingRow = () => create("div", { class: "message typing" }, create("span", { class: "visually-hidden" }, t("answering")), create("div", { class: "bubble", "aria-hidden": "true" }, create("i"), create("i"), create("i")));

function createComposer(conversation) {
  const input = create("textarea", { id: "text", rows: "1", maxlength: String(MAX_CHARACTERS), dir: "auto", placeholder: t("write"), autocomplete: "off" });
  const send = (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    conversation.send(text);
    input.focus();
  };
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
  });
  input.addEventListener("input", () => input.value.trim() && conversation.typed());
  const button = create("button", { class: "send", "aria-label": t("send") }, createIcon("M5 12h14M13 6l6 6-6 6"));
  return { input, element: create("form", { class: "composer", onsubmit: send }, create("label", { class: "visually-hidden", for: "text" }, t("write")), input, button) };
}
