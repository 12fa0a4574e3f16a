// Formulas: TeX source, replaced by MathML when the server has converted it.

import { html, math } from "../lib/dom.js";
import { convertFormula, findFormula } from "../model/rich_text.js";

const ELEMENTS = new Set(
  ("math mrow mi mn mo ms mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover " +
    "mtable mtr mtd mmultiscripts mprescripts mpadded mphantom mstyle merror menclose").split(" "),
);
const ATTRIBUTES = new Set(
  ("display displaystyle mathvariant stretchy fence separator form lspace rspace linethickness columnalign " +
    "rowspan columnspan accent accentunder minsize maxsize symmetric largeop movablelimits scriptlevel width " +
    "height depth voffset notation").split(" "),
);
const VALUE = /^[\w.%+\- ]{0,60}$/;
const MAX_DEPTH = 60;

/**
 * Return the element of the formula *tex*.
 * While the text around it is open, only formulas that are already converted are shown as MathML.
 */
export function renderFormula(tex, { isDisplay, isOpen }) {
  const element = html.span({ class: isDisplay ? "formula display" : "formula", dir: "ltr" }, html.code({}, tex));
  const known = findFormula(tex, isDisplay);
  if (known) element.replaceChildren(toMathML(known));
  else if (!isOpen) replaceLater(element, tex, isDisplay);
  return element;
}

async function replaceLater(element, tex, isDisplay) {
  const tree = await convertFormula(tex, isDisplay);
  if (tree) element.replaceChildren(toMathML(tree));
}

/** Convert `[name, attributes, ...children]`. Elements and attributes that are not listed are dropped. */
function toMathML(node, depth = 0) {
  if (typeof node === "string") return document.createTextNode(node);
  if (!Array.isArray(node) || depth > MAX_DEPTH) return document.createTextNode("");
  const [name, attributes, ...children] = node;
  const allowed = Object.entries(attributes ?? {}).filter(([key, value]) => ATTRIBUTES.has(key) && VALUE.test(value));
  const tag = ELEMENTS.has(name) ? name : "mrow";
  return math[tag](Object.fromEntries(allowed), children.map((child) => toMathML(child, depth + 1)));
}
