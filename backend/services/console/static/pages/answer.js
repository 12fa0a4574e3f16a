// An answer: steps, text with citations, sources, approval, error, actions.

import { delegate, html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { createScope, effect, onDispose } from "../lib/reactive.js";
import { getRequestOptions } from "../model/agent.js";
import { openEvidence } from "../model/evidence.js";
import { icon } from "../ui/icon.js";
import { loadModule } from "../ui/lazy.js";
import { getErrorText, getRequestId, reportErrors } from "../ui/notice.js";
import { answerActions } from "./answer_actions.js";
import { approvalCard } from "./approval_card.js";
import { stepList } from "./step_list.js";

// Of a longer answer, the browser lays out only the blocks near the window.
const LONG_ANSWER_CHARACTERS = 20_000;

const loadRichText = () => loadModule(() => import("../ui/rich_text.js"));

export function answerView(message, thread) {
  const isWriting = () => message.status.value === "writing";
  const element = html.article(
    { class: "answer", "aria-label": t("assistant"), "aria-busy": () => String(isWriting()) },
    html.h2({ class: "visually-hidden" }, t("assistant")),
    stepList(message, thread),
    () => isWriting() && !message.hasText.value && waiting(message, thread),
    answerText(message),
    () => isWriting() && thread.isReconnecting.value && html.p({ class: "answer-note", role: "status" }, icon("offline"), t("reconnecting")),
    () => message.approval.value && approvalCard(message, thread),
    () => ending(message, thread),
    sources(message),
    answerActions(message, thread),
  );
  // The hover preview and the evidence view find the citation of a marker here.
  element.getCitation = (marker) => message.citations.peek().find((citation) => citation.marker === marker) ?? null;
  delegate(element, "click", ".citation, .source", (_, target) => {
    const citation = element.getCitation(Number(target.dataset.marker));
    if (citation) openEvidence(citation, message.citations.peek(), target);
  });
  return element;
}

function waiting(message, thread) {
  const text = () => {
    const progress = message.progress.value;
    if (progress?.total) return t("readingDocument", progress.done, progress.total);
    return thread.isReconnecting.value ? "" : t("thinking");
  };
  return html.p({ class: "thinking" }, html.span({ class: "thinking-dots", "aria-hidden": "true" }, html.i(), html.i(), html.i()), html.span(text));
}

/** Element with the text; tokens are appended while the answer is streamed. */
function answerText(message) {
  const holder = html.div({ class: "answer-text", dir: "auto" });
  const markLong = () => holder.classList.toggle("long", message.text.length > LONG_ANSWER_CHARACTERS);
  const scope = createScope();
  let stream = null;
  const render = async () => {
    const { MarkdownStream, renderMarkdown } = await loadRichText();
    if (scope.isDisposed) return;
    markLong();
    if (message.status.peek() === "writing") {
      stream = new MarkdownStream();
      stream.append(message.text);
      holder.replaceChildren(stream.element);
    } else {
      stream = null;
      holder.replaceChildren(html.div({ class: "prose" }, renderMarkdown(message.text, { citations: message.citations.peek() })));
    }
  };
  onDispose(
    message.onText((added) => {
      markLong();
      if (added === null) render();
      else if (stream) stream.append(added);
      else holder.textContent = message.text; // until the Markdown modules are loaded
    }),
  );
  effect(() => {
    const isFinal = message.status.value !== "writing";
    const citations = message.citations.value;
    if (stream && isFinal) {
      stream.finish();
      stream.setCitations(citations);
      stream = null;
    } else if (stream) {
      if (citations.length) stream.setCitations(citations);
    } else if (isFinal || !holder.firstChild) render();
  });
  return holder;
}

/** Note below an answer that did not end normally. */
function ending(message, thread) {
  const status = message.status.value;
  const retry = () => reportErrors(thread.retry(message, getRequestOptions()));
  const retryButton = () => html.button({ type: "button", class: "button", disabled: () => thread.isBusy.value, onclick: retry }, icon("repeat"), t("tryAgain"));
  if (status === "cancelled") return html.p({ class: "answer-note" }, icon("stop"), t("answerStopped"));
  if (status === "interrupted") return html.div({ class: "answer-error" }, html.p(t("answerInterrupted")), retryButton());
  if (status !== "failed") return null;
  const error = message.error.value;
  return html.div({ class: "answer-error", role: "alert" }, html.p(html.strong(t("answerFailed"))), html.p(error ? getErrorText(error) : t("errorUnexpected")), getRequestId(error), retryButton());
}

function sources(message) {
  return () => {
    const citations = message.citations.value;
    if (!citations.length || message.status.value === "writing") return null;
    return html.section({ class: "sources", "aria-label": t("sourceCount", citations.length) }, html.ul({ role: "list" }, citations.map(source)));
  };
}

function source({ marker, filename, page, quote }) {
  return html.li(
    html.button(
      { type: "button", class: "source", dataset: { marker: String(marker) }, "aria-label": t("sourceLabel", marker, filename, page) },
      html.span({ class: "source-title" }, html.span({ class: "source-marker number" }, String(marker)), html.span({ class: "truncate", dir: "auto" }, filename), page && html.span({ class: "faint number" }, t("page", page))),
      html.span({ class: "source-quote", dir: "auto" }, quote),
    ),
  );
}
