// Inline Markdown: text to a tree of text, code, emphasis, links, formulas and citation markers.
//
// Nodes: {type: "text", text} · {type: "code", text} · {type: "em" | "strong" | "del", children}
// · {type: "link", href, children} · {type: "break"} · {type: "math", tex, isDisplay}
// · {type: "citation", markers, source}. Images become links; HTML stays text.

import { mergeText, readDelimiterRun, resolveEmphasis } from "./emphasis.js";
import { findBareUrls, readAutolink, readDestination } from "./links.js";
import { readFormula } from "./math.js";
import { isEscapable, readReference } from "./text.js";

const PLAIN = /[^\\`*_~[\]!<&$\n]+/y;
const BACKTICKS = /`+/y;
const MARKERS = /^\s*\d{1,3}(?:\s*,\s*\d{1,3})*\s*$/;
// The last, incomplete piece of a streamed text: an image or link address, or a citation marker.
const PARTIAL_LINK = /!?\[([^[\]]*)\]\([^()\s]*$/;
const PARTIAL_MARKER = /\s?\[[\d\s,]*$/;

/**
 * Parse *source*, the text of one paragraph, heading or cell.
 * With *isOpen*, the text is still being written: what has no end yet is closed for display.
 */
export function parseInlines(source, isOpen = false) {
  return new InlineParser(isOpen ? closePartial(source) : source).parse(isOpen);
}

function closePartial(source) {
  const text = source.replace(PARTIAL_LINK, "$1").replace(PARTIAL_MARKER, "");
  const ticks = [...text.matchAll(/`+/g)].map((match) => match[0]);
  // An odd number of single backticks: the last one is a code span that is still being written.
  const isInCode = ticks.length % 2 === 1 && ticks.every((run) => run === ticks[0]);
  return isInCode && ticks[0].length < 3 ? text + ticks[0] : text;
}

class InlineParser {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.nodes = [];
    this.brackets = [];
    this.urls = findBareUrls(text);
    this.urlStarts = [...this.urls.keys()];
    this.missingTicks = new Map();
  }

  parse(isOpen) {
    while (this.at < this.text.length) this.readNext();
    return this.finish(this.nodes, isOpen);
  }

  finish(nodes, isOpen = false) {
    const plain = nodes.map((node) => (node.type === "bracket" ? textNode(node.text) : node));
    return mergeText(resolveEmphasis(plain, isOpen));
  }

  readNext() {
    const url = this.urls.get(this.at);
    if (url) return this.pushLink(url);
    switch (this.text[this.at]) {
      case "\n": return this.readLineEnd();
      case "\\": return this.readBackslash();
      case "`": return this.readCode();
      case "*": case "_": case "~": return this.readDelimiters();
      case "[": return this.openBracket("[");
      case "!": return this.text[this.at + 1] === "[" ? this.openBracket("![") : this.pushText("!");
      case "]": return this.closeBracket();
      case "<": return this.readAngle();
      case "&": return this.readAmpersand();
      case "$": return this.readDollar();
      default: return this.readPlain();
    }
  }

  pushText(text, length = text.length) {
    this.nodes.push(textNode(text));
    this.at += length;
  }

  pushLink({ href, label, end }) {
    this.nodes.push(href ? { type: "link", href, children: [textNode(label)] } : textNode(label));
    this.at = end;
  }

  readPlain() {
    PLAIN.lastIndex = this.at;
    let end = this.at + PLAIN.exec(this.text)[0].length;
    while (this.urlStarts.length && this.urlStarts[0] <= this.at) this.urlStarts.shift();
    if (this.urlStarts.length) end = Math.min(end, this.urlStarts[0]);
    this.pushText(this.text.slice(this.at, end));
  }

  readLineEnd() {
    const last = this.nodes.at(-1);
    const isHard = last?.type === "text" && last.text.endsWith("  ");
    if (last?.type === "text") this.nodes[this.nodes.length - 1] = textNode(last.text.replace(/ +$/, ""));
    this.nodes.push(isHard ? { type: "break" } : textNode("\n"));
    this.at++;
    while (this.text[this.at] === " ") this.at++;
  }

  readBackslash() {
    const formula = readFormula(this.text, this.at);
    const next = this.text[this.at + 1];
    if (formula) return this.pushFormula(formula);
    if (next === "\n") {
      this.nodes.push({ type: "break" });
      this.at += 2;
      return undefined;
    }
    return isEscapable(next) ? this.pushText(next, 2) : this.pushText("\\");
  }

  pushFormula({ tex, isDisplay, end }) {
    this.nodes.push({ type: "math", tex, isDisplay });
    this.at = end;
  }

  readDollar() {
    const formula = readFormula(this.text, this.at);
    return formula ? this.pushFormula(formula) : this.pushText("$");
  }

  readCode() {
    BACKTICKS.lastIndex = this.at;
    const open = BACKTICKS.exec(this.text)[0];
    const end = this.findTicks(open.length, this.at + open.length);
    if (end < 0) return this.pushText(open);
    let code = this.text.slice(this.at + open.length, end).replaceAll("\n", " ");
    if (code.trim() && code.startsWith(" ") && code.endsWith(" ")) code = code.slice(1, -1);
    this.nodes.push({ type: "code", text: code });
    this.at = end + open.length;
    return undefined;
  }

  /** Return where a run of exactly *length* backticks starts, at *from* or later, or -1. */
  findTicks(length, from) {
    if (this.missingTicks.has(length)) return -1;
    const run = /`+/g;
    run.lastIndex = from;
    for (let match = run.exec(this.text); match; match = run.exec(this.text)) {
      if (match[0].length === length) return match.index;
    }
    this.missingTicks.set(length, true);
    return -1;
  }

  readDelimiters() {
    const run = readDelimiterRun(this.text, this.at);
    this.nodes.push(run);
    this.at += run.length;
  }

  openBracket(text) {
    const bracket = { type: "bracket", text, index: this.nodes.length, start: this.at + text.length, isActive: true };
    this.brackets.push(bracket);
    this.nodes.push(bracket);
    this.at += text.length;
  }

  closeBracket() {
    const open = this.brackets.pop();
    if (!open?.isActive) return this.pushText("]");
    const destination = readDestination(this.text, this.at + 1);
    if (destination) return this.endLink(open, destination);
    const label = this.text.slice(open.start, this.at);
    if (open.text === "[" && MARKERS.test(label)) return this.endMarkers(open, label);
    return this.pushText("]");
  }

  endLink(open, { href, end }) {
    const children = withoutLinks(this.finish(this.nodes.splice(open.index).slice(1)));
    const isEmpty = !children.length && href;
    const content = isEmpty ? [textNode(href)] : children;
    if (href) this.nodes.push({ type: "link", href, children: content });
    else this.nodes.push(...content);
    if (open.text === "[") for (const bracket of this.brackets) bracket.isActive &&= bracket.text === "![";
    this.at = end;
  }

  endMarkers(open, label) {
    this.nodes.splice(open.index);
    this.nodes.push({ type: "citation", markers: label.split(",").map(Number), source: `[${label}]` });
    this.at++;
  }

  readAngle() {
    const link = readAutolink(this.text, this.at);
    return link ? this.pushLink(link) : this.pushText("<");
  }

  readAmpersand() {
    const reference = readReference(this.text, this.at);
    return reference ? this.pushText(...reference) : this.pushText("&");
  }
}

const textNode = (text) => ({ type: "text", text });

/** Return *nodes* with links replaced by their content: a link contains no link and no marker. */
function withoutLinks(nodes) {
  const flat = nodes.flatMap((node) => {
    if (node.type === "citation") return [textNode(node.source)];
    const children = node.children && withoutLinks(node.children);
    if (node.type === "link") return children;
    return [children ? { ...node, children } : node];
  });
  return mergeText(flat);
}
