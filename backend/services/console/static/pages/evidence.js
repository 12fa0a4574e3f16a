// Evidence view: the page of a document with the quoted words marked, beside the answer.

import { html, replaceChildren } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { computed, effect, signal } from "../lib/reactive.js";
import { MIN_FOUND_COVERAGE, MIN_MARKED_COVERAGE, openEvidence } from "../model/evidence.js";
import { icon, iconButton } from "../ui/icon.js";
import { showNotice } from "../ui/notice.js";
import { skeleton } from "../ui/states.js";
import { leaveEvidence, recordEvidence } from "./evidence_history.js";
import { documentPage, MAX_ZOOM, MIN_ZOOM, ZOOM_STEP } from "./evidence_page.js";
import { documentText } from "./evidence_text.js";

// Longer quotes scroll, on narrow screens.
const LONG_QUOTE = 120;

/**
 * State of one opened citation.
 *
 * @typedef {object} EvidenceState
 * @property {object} citation
 * @property {import("../lib/reactive.js").Signal<number | null>} page null: shown as text
 * @property {import("../lib/reactive.js").Signal<number | null>} pages number of pages, if known
 * @property {import("../lib/reactive.js").Signal<number>} zoom 1: as wide as the view
 * @property {import("../lib/reactive.js").Signal<number | null>} coverage share of the quote that was found
 */

/** @param {{citation: object, citations: object[], opener: Element | null}} evidence */
export function evidenceView(evidence) {
  const { citation, citations, opener } = evidence;
  const state = { citation, page: signal(citation.page), pages: signal(null), zoom: signal(1), coverage: signal(null) };
  const isWide = signal(false);
  const stage = html.div({ class: "evidence-stage", tabindex: "0", role: "region", "aria-label": t("documentContent") });
  effect(() => {
    replaceChildren(stage, skeleton(8));
    if (state.page.value === null) documentText(state, stage);
    else documentPage(state, stage, state.page.value);
  });
  const heading = html.h2({ class: "truncate", tabindex: "-1", title: citation.filename }, html.bdi(citation.filename));
  const view = html.section(
    { class: () => `evidence${isWide.value ? " wide" : ""}`, "aria-label": t("evidence"), onkeydown: (event) => handleKey(event, state, citations, opener) },
    html.header(
      html.div({ class: "evidence-title" }, heading, html.p({ class: "faint number", "aria-live": "polite" }, () => getPageText(state))),
      iconButton("expand", t("widerView"), { class: "wide-toggle", "aria-pressed": () => String(isWide.value), onclick: () => isWide.update((value) => !value) }),
      downloadLink(citation),
      iconButton("close", t("closeEvidence"), { onclick: leaveEvidence }),
    ),
    citation.quote && quoteBox(state, citations, opener),
    stage,
    toolbar(state),
  );
  queueMicrotask(() => heading.focus({ preventScroll: true }));
  recordEvidence(evidence);
  return view;
}

function getPageText({ page, pages }) {
  if (page.value === null) return t("extractedText");
  return pages.value ? t("pageOf", page.value, pages.value) : t("page", page.value);
}

function downloadLink({ document_id: id, filename }) {
  return html.a({ class: "tool", href: `/rag/documents/${encodeURIComponent(id)}/content`, download: filename, "aria-label": t("downloadOriginal"), title: t("downloadOriginal") }, icon("download"));
}

function quoteBox(state, citations, opener) {
  const { quote } = state.citation;
  const copy = () => navigator.clipboard.writeText(quote).then(() => showNotice(t("copied")));
  return html.figure(
    { class: "quote-box" },
    html.blockquote({ dir: "auto", tabindex: quote.length > LONG_QUOTE ? "0" : null }, quote.replace(/\s+/g, " ")),
    html.figcaption(
      html.div({ role: "status" }, () => fidelity(state)),
      html.div({ class: "quote-tools" }, citations.length > 1 && citationNavigation(state, citations, opener), iconButton("copy", t("copyQuote"), { class: "small", onclick: copy })),
    ),
  );
}

function fidelity({ coverage, page }) {
  const share = coverage.value;
  if (share === null) return null;
  const key = share >= MIN_FOUND_COVERAGE ? (page.value === null ? "quoteFoundInText" : "quoteFound") : share >= MIN_MARKED_COVERAGE ? "quoteApproximate" : "quoteNotFound";
  const isFound = share >= MIN_FOUND_COVERAGE;
  return html.span({ class: `fidelity${isFound ? "" : " approximate"}` }, icon(isFound ? "check" : "info"), t(key));
}

const showNeighbor = (state, citations, opener, step) => {
  const index = citations.findIndex(({ marker }) => marker === state.citation.marker);
  const next = citations[index + step];
  if (next) openEvidence(next, citations, opener);
};

function citationNavigation(state, citations, opener) {
  const index = citations.findIndex(({ marker }) => marker === state.citation.marker);
  return [
    iconButton("left", t("previousSource"), { class: "small", disabled: index <= 0, onclick: () => showNeighbor(state, citations, opener, -1) }),
    html.span({ class: "number faint" }, t("sourceOf", index + 1, citations.length)),
    iconButton("right", t("nextSource"), { class: "small", disabled: index >= citations.length - 1, onclick: () => showNeighbor(state, citations, opener, 1) }),
  ];
}

function toolbar(state) {
  const hasPages = computed(() => state.page.value !== null);
  const zoom = (step) => (state.zoom.value = Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, state.zoom.peek() + step)));
  return html.div(
    { class: "evidence-toolbar", role: "toolbar", "aria-label": t("pageTools"), hidden: () => !hasPages.value },
    iconButton("left", t("previousPage"), { class: "small", disabled: () => state.page.value <= 1, onclick: () => turnPage(state, -1) }),
    html.span({ class: "number", dir: "ltr" }, () => `${state.page.value ?? ""} / ${state.pages.value ?? "…"}`),
    iconButton("right", t("nextPage"), { class: "small", disabled: () => !state.pages.value || state.page.value >= state.pages.value, onclick: () => turnPage(state, 1) }),
    html.span({ class: "separator" }),
    iconButton("zoom-out", t("zoomOut"), { class: "small", disabled: () => state.zoom.value <= MIN_ZOOM, onclick: () => zoom(-ZOOM_STEP) }),
    iconButton("zoom-in", t("zoomIn"), { class: "small", disabled: () => state.zoom.value >= MAX_ZOOM, onclick: () => zoom(ZOOM_STEP) }),
    () => state.page.value !== state.citation.page && html.button({ type: "button", class: "link-button", onclick: () => (state.page.value = state.citation.page) }, t("backToQuote")),
  );
}

function turnPage({ page, pages }, step) {
  const next = page.peek() + step;
  if (next >= 1 && next <= (pages.peek() ?? next)) page.value = next;
}

function handleKey(event, state, citations, opener) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const actions = {
    Escape: leaveEvidence,
    PageDown: () => turnPage(state, 1),
    PageUp: () => turnPage(state, -1),
    n: () => showNeighbor(state, citations, opener, 1),
    p: () => showNeighbor(state, citations, opener, -1),
  };
  const action = actions[event.key];
  if (!action || (state.page.peek() === null && event.key.startsWith("Page"))) return;
  event.preventDefault();
  event.stopPropagation();
  action();
}
