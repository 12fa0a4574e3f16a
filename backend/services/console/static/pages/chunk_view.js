// The chunks of a document. With a question, they are ranked, and each shows why it was found.

import { append, html, replaceChildren } from "../lib/dom.js";
import { formatNumber, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { route, updateQuery } from "../lib/router.js";
import { getChunks, searchChunks } from "../model/library.js";
import { icon } from "../ui/icon.js";
import { reportErrors } from "../ui/notice.js";
import { asyncContent } from "../ui/states.js";
import { explainedText, scoreLine, termList } from "./search_hits.js";

const MAX_HITS = 50;

/** Return the section for *document*. The question is in the address, so that it can be linked. */
export function chunkView(document) {
  const question = signal(route.peek().query.get("q") ?? "");
  const input = html.input({ class: "input", type: "search", value: question.peek(), maxlength: 4000, dir: "auto", placeholder: t("whyFoundPlaceholder"), "aria-label": t("whyFound") });
  const submit = (event) => {
    event.preventDefault();
    question.value = input.value.trim();
    updateQuery({ q: question.peek() });
  };
  const content = html.div();
  effect(() => replaceChildren(content, question.value ? rankedChunks(document, question.value) : allChunks(document)));
  return html.section(
    { class: "details-section" },
    html.h2(t("chunks")),
    html.form({ class: "inline-form", role: "search", onsubmit: submit }, html.div({ class: "search-field" }, icon("search"), input), html.button({ class: "button" }, t("whyFound"))),
    content,
  );
}

function allChunks(document) {
  const list = html.ol({ class: "chunk-list" });
  const more = html.button({ type: "button", class: "button", hidden: true }, t("showMore"));
  let cursor = null;
  const load = async () => {
    const page = await getChunks(document.id, cursor);
    cursor = page.next_cursor;
    more.hidden = cursor === null;
    append(list, page.items.map((chunk) => chunkItem(chunk, chunk.text)));
    return [list, more];
  };
  more.addEventListener("click", () => reportErrors(load()));
  return asyncContent(load, (content) => content);
}

function rankedChunks(document, question) {
  const search = () => searchChunks({ query: question, k: MAX_HITS, filter: { document_id: document.id }, sentences: true });
  return asyncContent(search, ({ results, term_weights: weights }) => {
    if (!results.length) return html.p({ class: "faint" }, t("chunkNotFound"));
    const best = results[0].score;
    return [
      termList(weights),
      html.p({ class: "faint" }, t("whyFoundHint")),
      html.ol({ class: "chunk-list" }, results.map((hit) => chunkItem(hit, explainedText(hit, weights), scoreLine(hit, best)))),
    ];
  });
}

function chunkItem(chunk, text, score = null) {
  const place = [
    chunk.page !== null && t("pageNumber", chunk.page),
    t("characters", formatNumber(chunk.start), formatNumber(chunk.end)),
  ].filter(Boolean);
  return html.li(
    { class: "chunk" },
    html.div({ class: "chunk-head" }, chunk.section && html.strong({ dir: "auto" }, chunk.section), html.span({ class: "faint number" }, place.join(" · ")), score),
    html.p({ class: "chunk-text", dir: "auto" }, text),
  );
}
