// The extracted text of a document with the quote marked, for formats without page images.

import { html, replaceChildren } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { createScope } from "../lib/reactive.js";
import { fetchText } from "../model/evidence.js";
import { errorState } from "../ui/states.js";

const MORE_CHARACTERS = 20_000;

export async function documentText(state, stage, contextCharacters = undefined) {
  const scope = createScope();
  const retry = () => documentText(state, stage, contextCharacters);
  try {
    const text = await fetchText(state.citation, contextCharacters);
    if (scope.isDisposed) return;
    state.coverage.value = text.isExact ? 1 : 0;
    const mark = text.marked && state.citation.quote ? html.mark(text.marked) : text.marked;
    const more = (isNeeded) => isNeeded && html.button({ type: "button", class: "link-button", onclick: () => scope.run(() => documentText(state, stage, (contextCharacters ?? 0) + MORE_CHARACTERS)) }, t("showMoreText"));
    replaceChildren(stage, [more(text.isCutBefore), html.div({ class: "evidence-text", dir: "auto" }, text.before, mark, text.after), more(text.isCutAfter)]);
    if (mark instanceof Element) stage.scrollTop = Math.max(0, mark.offsetTop - stage.clientHeight / 3);
  } catch (error) {
    if (!scope.isDisposed) replaceChildren(stage, errorState(error, retry));
  }
}
