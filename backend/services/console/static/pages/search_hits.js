// Search hits with their scores, and the words and sentences that they were found by.

import { html } from "../lib/dom.js";
import { formatNumber, t } from "../lib/i18n.js";

const MIN_STEM_LENGTH = 3;
// Cosine similarities below this are of unrelated sentences.
const MIN_SIMILARITY = 0.3;

export const formatScore = (score) => formatNumber(score, { minimumFractionDigits: 3, maximumFractionDigits: 3 });

/** Return a bar for the share *score* / *best*. */
export function scoreBar(score, best) {
  const share = best > 0 ? Math.max(0.02, Math.min(1, score / best)) : 0;
  return html.span({ class: "score-bar", "aria-hidden": "true" }, html.i({ style: { width: `${share * 100}%` } }));
}

/** Return a line with the score of *hit*, and its ranks in other searches: `[[label, rank], …]`. */
export function scoreLine(hit, best, ranks = []) {
  return html.div(
    { class: "score-line" },
    scoreBar(hit.score, best),
    html.span({ class: "number" }, `${t("score")} ${formatScore(hit.score)}`),
    ranks.map(([label, rank]) => html.span({ class: "faint number" }, `${label} ${rank === null ? "–" : t("rank", rank)}`)),
  );
}

/**
 * Return the text of *hit* as nodes: matched terms are marked, and similar sentences have their
 * similarity beside them.
 */
export function explainedText(hit, termWeights = {}) {
  const sentences = hit.sentences ?? [];
  const best = Math.max(MIN_SIMILARITY, ...sentences.map(({ similarity }) => similarity));
  const text = [...hit.text];
  const nodes = [];
  let at = 0;
  for (const { start, end, similarity } of sentences) {
    // Offsets count code points of the document's text.
    const [from, to] = [start - hit.start, end - hit.start];
    if (from < at || to > text.length) continue;
    nodes.push(...markTerms(text.slice(at, from).join(""), termWeights));
    nodes.push(sentence(text.slice(from, to).join(""), similarity, similarity === best, termWeights));
    at = to;
  }
  return [...nodes, ...markTerms(text.slice(at).join(""), termWeights)];
}

function sentence(text, similarity, isBest, termWeights) {
  const level = similarity < MIN_SIMILARITY ? 0 : isBest ? 3 : similarity > 0.6 ? 2 : 1;
  const label = t("similarity", formatScore(similarity));
  return html.span({ class: `sentence level-${level}`, title: label }, markTerms(text, termWeights), level > 0 && html.span({ class: "sentence-score number" }, formatScore(similarity)));
}

/** Terms of the index are case-folded stems: a word matches if one starts with the other. */
function markTerms(text, termWeights) {
  const stems = Object.keys(termWeights);
  if (!stems.length) return [text];
  return text.split(/([\p{L}\p{N}]+)/u).map((part, index) => {
    if (index % 2 === 0) return part;
    const stem = stems.find((each) => isSameTerm(part.toLowerCase(), each));
    return stem ? html.mark({ class: "term", title: t("termWeight", formatScore(termWeights[stem])) }, part) : part;
  });
}

function isSameTerm(word, stem) {
  if (word === stem) return true;
  if (stem.length < MIN_STEM_LENGTH || word.length < MIN_STEM_LENGTH) return false;
  const isClose = Math.abs(word.length - stem.length) <= 4;
  // Stems can end in another letter than the word: "history" has the stem "histori".
  return isClose && (word.startsWith(stem) || word.startsWith(stem.slice(0, -1)) && stem.length > MIN_STEM_LENGTH + 1);
}

/** Return the weights of the query's terms as a list, heaviest first. */
export function termList(termWeights = {}) {
  const entries = Object.entries(termWeights).sort(([, a], [, b]) => b - a);
  if (!entries.length) return null;
  return html.div(
    { class: "term-list" },
    html.span({ class: "faint" }, t("termWeights")),
    entries.map(([term, weight]) => html.span({ class: "term-weight" }, html.span({ dir: "auto" }, term), " ", html.span({ class: "faint number" }, formatScore(weight)))),
  );
}
