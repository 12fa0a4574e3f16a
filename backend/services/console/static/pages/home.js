// Start of a new conversation: example questions, or the invitation to add documents.

import * as api from "../lib/api.js";
import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { can, user } from "../model/session.js";
import { changedDocument } from "../model/upload_state.js";
import { icon } from "../ui/icon.js";
import { getErrorText } from "../ui/notice.js";
import { skeleton } from "../ui/states.js";
import { chooseDocuments } from "./add_documents.js";

const EXAMPLES = 3;

/** @param {{onExample: (question: string) => void}} options */
export function home({ onExample }) {
  const documents = signal(null);
  const error = signal(null);
  const load = async () => {
    try {
      documents.value = (await api.get("/rag/documents", { limit: EXAMPLES, status: "ready" })).items;
      error.value = null;
    } catch (problem) {
      error.value = problem;
    }
  };
  if (can("rag:read")) load();
  effect(() => {
    if (changedDocument.value?.status === "ready") load();
  });
  return html.section(
    { class: "home" },
    html.h1({ class: "home-title" }, user.peek().display_name ? t("welcomeName", user.peek().display_name) : t("welcome")),
    html.p({ class: "home-text" }, t("welcomeText")),
    () => can("rag:read") && content(documents.value, error.value, load, onExample),
  );
}

function content(documents, error, load, onExample) {
  if (error) return html.div({ class: "failure", role: "alert" }, html.p(getErrorText(error)), html.button({ type: "button", class: "button", onclick: load }, t("tryAgain")));
  if (documents === null) return skeleton(EXAMPLES);
  if (documents.length) return html.ul({ class: "examples" }, documents.map((document) => example(document, onExample)));
  return can("rag:write") ? firstRun() : html.p({ class: "empty" }, t("noSharedDocuments"));
}

function example({ title, pages }, onExample) {
  const question = t("exampleQuestion", title);
  return html.li(
    html.button(
      { type: "button", class: "example", onclick: () => onExample(question) },
      icon("chat"),
      html.span({ class: "truncate", dir: "auto" }, question),
      html.span({ class: "faint number" }, pages ? t("pageCount", pages) : ""),
    ),
  );
}

function firstRun() {
  return html.div(
    { class: "empty first-run" },
    html.p(t("firstRunText")),
    html.div(
      { class: "first-run-actions" },
      html.button({ type: "button", class: "button", onclick: () => chooseDocuments() }, icon("upload"), t("addDocuments")),
      html.button({ type: "button", class: "button plain", onclick: () => chooseDocuments({ isFolder: true }) }, icon("folder"), t("addFolder")),
    ),
  );
}
