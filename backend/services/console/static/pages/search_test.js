// Search playground: what a question finds, with scores and the ranks of the single methods.

import { html, replaceChildren } from "../lib/dom.js";
import { formatDuration, t } from "../lib/i18n.js";
import { effect, onDispose, signal } from "../lib/reactive.js";
import { consolePath, route, updateQuery } from "../lib/router.js";
import { collections, loadCollections, searchChunks } from "../model/library.js";
import { icon } from "../ui/icon.js";
import { reportErrors } from "../ui/notice.js";
import { emptyState, errorState, skeleton } from "../ui/states.js";
import { libraryTabs } from "./library_tabs.js";
import { explainedText, scoreLine, termList } from "./search_hits.js";

const MODES = ["hybrid", "dense", "keyword"];
const COUNTS = [5, 10, 20, 50];
const MAX_RANKED = 50;

export function page() {
  reportErrors(loadCollections());
  const { query } = route.peek();
  const options = {
    query: query.get("q") ?? "",
    mode: MODES.includes(query.get("mode")) ? query.get("mode") : "hybrid",
    k: COUNTS.includes(Number(query.get("k"))) ? Number(query.get("k")) : 10,
    collection: query.get("collection") ?? "",
  };
  const state = signal({ kind: "empty" });
  const run = startSearches(state);
  const form = searchForm(options, () => {
    updateQuery({ q: options.query, mode: options.mode, k: options.k, collection: options.collection });
    run(options);
  });
  if (options.query) run(options);
  const results = html.div({ class: "page-body", "aria-live": "polite" });
  effect(() => replaceChildren(results, renderState(state.value, () => run(options))));
  return html.div({ class: "page-frame" }, html.header({ class: "page-header" }, html.h1({ class: "title" }, t("searchTest")), libraryTabs()), form, results);
}

/** Return a function that searches; a later search cancels an earlier one. */
function startSearches(state) {
  let abort = new AbortController();
  onDispose(() => abort.abort());
  return async (options) => {
    abort.abort();
    abort = new AbortController();
    const { signal: aborted } = abort;
    state.value = { kind: "loading" };
    try {
      state.value = { kind: "results", ...(await searchWithRanks(options, aborted)) };
    } catch (error) {
      if (error.name !== "AbortError") state.value = { kind: "error", error };
    }
  };
}

/** Search; for a hybrid search, also get the rank of each hit by keywords and by vectors alone. */
async function searchWithRanks({ query, mode, k, collection }, aborted) {
  const body = { query, mode, ...(collection ? { collection } : {}) };
  const search = (changes) => searchChunks({ ...body, ...changes }, aborted);
  const single = mode === "hybrid" ? ["keyword", "dense"] : [];
  const [found, ...ranked] = await Promise.all([
    search({ k, sentences: true }),
    ...single.map((method) => search({ mode: method, k: MAX_RANKED, rerank: false }).catch(() => null)),
  ]);
  const ranks = single.map((method, index) => [method, new Map((ranked[index]?.results ?? []).map((hit, place) => [hit.chunk_id, place + 1]))]);
  return { found, ranks };
}

function searchForm(options, onSubmit) {
  const select = (name, label, entries) =>
    html.label(
      { class: "compact-field" },
      html.span(label),
      html.select(
        { class: "input", onchange: (event) => change(name, event.currentTarget.value) },
        entries.map(([value, text]) => html.option({ value, selected: String(value) === String(options[name]) }, text)),
      ),
    );
  const change = (name, value) => {
    options[name] = name === "k" ? Number(value) : value;
    if (options.query) onSubmit();
  };
  const names = () => [["", t("allCollections")], ...(collections.value ?? []).map(({ name }) => [name, name])];
  const submit = (event) => {
    event.preventDefault();
    options.query = event.currentTarget.elements.query.value.trim();
    if (options.query) onSubmit();
  };
  return html.form(
    { class: "search-form", role: "search", onsubmit: submit },
    html.div(
      { class: "inline-form" },
      html.div({ class: "search-field" }, icon("search"), html.input({ class: "input", name: "query", type: "search", value: options.query, maxlength: 4000, dir: "auto", placeholder: t("searchTestPlaceholder"), "aria-label": t("searchTestPlaceholder") })),
      html.button({ class: "button primary" }, t("search")),
    ),
    html.div(
      { class: "filter-bar" },
      select("mode", t("searchMode"), MODES.map((mode) => [mode, t(`mode_${mode}`)])),
      html.div({ class: "filter-slot" }, () => select("collection", t("collection"), names())),
      select("k", t("resultCount"), COUNTS.map((count) => [count, String(count)])),
    ),
  );
}

function renderState(state, retry) {
  if (state.kind === "empty") return emptyState(t("searchTestEmpty"));
  if (state.kind === "loading") return skeleton(6);
  if (state.kind === "error") return errorState(state.error, retry);
  const { results, degraded, term_weights: weights, took_ms: took } = state.found;
  return [
    degraded.map((part) => html.p({ class: "warning-box" }, icon("warning"), t(`degraded_${part}`))),
    html.p({ class: "faint", role: "status" }, results.length ? t("hitCount", results.length, formatDuration(took)) : t("noHits")),
    termList(weights),
    html.ol({ class: "chunk-list" }, results.map((hit) => hitItem(hit, results[0].score, weights, state.ranks))),
  ];
}

function hitItem(hit, best, weights, ranks) {
  const link = `${consolePath(`/documents/${encodeURIComponent(hit.document_id)}`)}?q=${encodeURIComponent(route.peek().query.get("q") ?? "")}`;
  return html.li(
    { class: "chunk" },
    html.div(
      { class: "chunk-head" },
      html.a({ href: link, dir: "auto" }, hit.title),
      html.span({ class: "faint" }, [hit.page !== null && t("pageNumber", hit.page), hit.section].filter(Boolean).join(" · ")),
      scoreLine(hit, best, ranks.map(([method, places]) => [t(`mode_${method}`), places.get(hit.chunk_id) ?? null])),
    ),
    html.p({ class: "chunk-text", dir: "auto" }, explainedText(hit, weights)),
  );
}
