// Emphasis of Markdown: delimiter runs of `*`, `_` and `~`, by the rules of CommonMark and GFM.

const SPACE = /^[\s\u00a0]$/u;
const PUNCTUATION = /^[\p{P}\p{S}]$/u;
const TYPES = { "*": ["em", "strong"], _: ["em", "strong"], "~": ["del", "del"] };

/** Return the delimiter run of one character at *position* as a node. */
export function readDelimiterRun(text, position) {
  const character = text[position];
  let end = position + 1;
  while (text[end] === character) end++;
  const before = characterBefore(text, position);
  const after = end < text.length ? String.fromCodePoint(text.codePointAt(end)) : " ";
  const isLeft = !SPACE.test(after) && (!PUNCTUATION.test(after) || isEdge(before));
  const isRight = !SPACE.test(before) && (!PUNCTUATION.test(before) || isEdge(after));
  const isInner = isLeft && isRight && character === "_";
  return {
    type: "delimiter",
    character,
    length: end - position,
    count: end - position,
    canOpen: isLeft && (!isInner || PUNCTUATION.test(before)),
    canClose: isRight && (!isInner || PUNCTUATION.test(after)),
    followsEdge: isEdge(before),
  };
}

const isEdge = (character) => SPACE.test(character) || PUNCTUATION.test(character);

function characterBefore(text, position) {
  if (position === 0) return " ";
  const low = text.charCodeAt(position - 1);
  const isPair = low >= 0xdc00 && low <= 0xdfff && position > 1;
  return isPair ? text.slice(position - 2, position) : text[position - 1];
}

/**
 * Return *nodes* with delimiter runs turned into `em`, `strong` and `del` nodes or text.
 *
 * Linear in the number of runs: a search for an opener never looks again below the place where an
 * equal search failed. With *isOpen*, a run that has no end yet reaches to the end of the text.
 */
export function resolveEmphasis(nodes, isOpen = false) {
  const output = [];
  const searched = new Map();
  for (const node of nodes) {
    if (node.type !== "delimiter") output.push(node);
    else closeRuns({ ...node }, output, searched);
  }
  if (isOpen) closeAtEnd(output);
  return mergeText(output.map(toText));
}

function closeRuns(run, output, searched) {
  const key = `${run.character}${run.canOpen}${run.length % 3}`;
  while (run.canClose && run.count > 0) {
    const index = findOpener(run, output, Math.min(searched.get(key) ?? 0, output.length));
    if (index < 0) {
      searched.set(key, output.length);
      break;
    }
    wrap(output, index, run);
  }
  if (run.count > 0) output.push(run);
}

function findOpener(closer, output, bottom) {
  for (let index = output.length - 1; index >= bottom; index--) {
    const opener = output[index];
    if (opener.type === "delimiter" && opener.canOpen && matches(opener, closer)) return index;
  }
  return -1;
}

function matches(opener, closer) {
  if (opener.character !== closer.character) return false;
  if (closer.character === "~") return opener.count === closer.count && opener.count <= 2;
  const isAmbiguous = opener.canClose || closer.canOpen;
  const total = opener.length + closer.length;
  return !(isAmbiguous && total % 3 === 0 && (opener.length % 3 !== 0 || closer.length % 3 !== 0));
}

function wrap(output, index, closer) {
  const opener = output[index];
  const used = Math.min(2, opener.count, closer.count);
  const children = mergeText(output.splice(index + 1).map(toText));
  opener.count -= used;
  closer.count -= used;
  if (opener.count === 0) output.pop();
  output.push({ type: TYPES[opener.character][used - 1], children });
}

function closeAtEnd(output) {
  for (let index = output.length - 1; index >= 0; index--) {
    const opener = output[index];
    if (opener.type !== "delimiter" || !opener.canOpen && index < output.length - 1) continue;
    if (index === output.length - 1) output.pop();
    else if (opener.followsEdge) while (opener.count > 0 && output[index] === opener) wrap(output, index, { ...opener });
  }
}

const toText = (node) =>
  node.type === "delimiter" ? { type: "text", text: node.character.repeat(node.count) } : node;

/** Return *nodes* with neighbouring text nodes joined. */
export function mergeText(nodes) {
  const merged = [];
  for (const node of nodes) {
    const last = merged.at(-1);
    if (node.type === "text" && last?.type === "text") merged[merged.length - 1] = { type: "text", text: last.text + node.text };
    else merged.push(node);
  }
  return merged;
}
