// The text of Markdown without its marks, as a screen reader says it.

import { parseInlines } from "./inlines.js";

/** Return the text of one of the blocks of `parseBlocks`. Items and rows are lines. */
export function getPlainText(block) {
  switch (block.type) {
    case "rule": return "";
    case "code": return block.text;
    case "math": return block.tex;
    case "quote": return joinLines(block.blocks.map(getPlainText));
    case "list": return joinLines(block.items.map(({ blocks }) => joinLines(blocks.map(getPlainText))));
    case "table": return joinLines([block.head, ...block.rows].map((cells) => cells.map(getInlineText).join(", ")));
    default: return getInlineText(block.text);
  }
}

const joinLines = (texts) => texts.filter(Boolean).join("\n");

const getInlineText = (source) => parseInlines(source).map(getNodeText).join("");

function getNodeText(node) {
  if (node.children) return node.children.map(getNodeText).join("");
  return { break: " ", math: node.tex, citation: node.source }[node.type] ?? node.text;
}
