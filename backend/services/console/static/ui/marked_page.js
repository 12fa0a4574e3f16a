// Drawing for the sign-in page: a page with marked lines and an answer that cites it.

import { html } from "../lib/dom.js";

const PARAGRAPHS = [
  [92, 97, 88, 95, 60],
  [94, 97, 71, 90, 96, 48],
  [95, 91, 97, 66],
];
const MARKED_PARAGRAPH = 1;
const MARKED_LINES = new Set([1, 2]);

export function markedPage() {
  const line = (width, isMarked) => html.i({ class: isMarked ? "marked" : null, style: { "inline-size": `${width}%` } });
  const paragraph = (widths, index) => html.p(widths.map((width, number) => line(width, index === MARKED_PARAGRAPH && MARKED_LINES.has(number))));
  return html.div(
    { class: "marked-page", "aria-hidden": "true" },
    html.div({ class: "drawn-page" }, PARAGRAPHS.map(paragraph)),
    html.div({ class: "drawn-answer" }, line(78), html.span({ class: "citation" }, "1"), line(50)),
  );
}
