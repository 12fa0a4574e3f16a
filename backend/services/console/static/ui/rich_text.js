// Shows Markdown of an answer. Nothing in the text can become an element that is not on our list.
//
//   renderMarkdown(text, { citations })    DocumentFragment of a complete text
//   new MarkdownStream({ citations })      element of a text that is still being written
//
// A marker `[n]` becomes `button.citation[data-marker=n]` if *citations* has that marker, else text.
// Listen with `delegate(root, "click", ".citation", …)`. Styles: `.prose` in styles/prose.css.

import { parseBlocks } from "../lib/markdown/blocks.js";
import { renderBlocks } from "./markdown_elements.js";

export { MarkdownStream } from "./markdown_stream.js";

/**
 * @param {string} text
 * @param {{citations?: {marker: number, filename?: string, page?: number}[]}} options
 * @returns {DocumentFragment}
 */
export function renderMarkdown(text, { citations = [] } = {}) {
  const fragment = document.createDocumentFragment();
  fragment.append(...renderBlocks(parseBlocks(text), { citations, isOpen: false }));
  return fragment;
}
