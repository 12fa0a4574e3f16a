// An image of a page with marked boxes.

import { html } from "../lib/dom.js";
import { refreshSession } from "../lib/api.js";

const MAX_RETRIES = 3;
const RETRY_MS = 800;

/**
 * @param {object} page
 * @param {() => Promise<string>} page.getSource resolves to the URL
 * @param {number} page.width with `height`, the proportions of the page
 * @param {number[][]} page.boxes [left, top, right, bottom] as fractions of the page
 * @param {string} page.alt
 */
export function pageImage({ getSource, width, height, boxes, alt }) {
  const image = html.img({ alt, decoding: "async", draggable: "false" });
  let failures = 0;
  const load = () => getSource().then((source) => (image.src = source), retry);
  const retry = async () => {
    failures++;
    if (failures > MAX_RETRIES) return sheet.classList.add("failed");
    // The renderer may be busy. An image request cannot renew an expired session itself.
    if (failures > 1) await refreshSession();
    setTimeout(load, RETRY_MS * failures);
  };
  image.addEventListener("error", retry);
  image.addEventListener("load", () => sheet.classList.add("loaded"));
  const sheet = html.div({ class: "page-image", style: { "aspect-ratio": `${width} / ${height}` } }, image, boxes.map(createMark));
  load();
  return sheet;
}

function createMark([left, top, right, bottom], index) {
  return html.div({
    class: "quote-mark",
    style: {
      left: `${left * 100}%`,
      top: `${top * 100}%`,
      width: `${(right - left) * 100}%`,
      height: `${(bottom - top) * 100}%`,
      "--index": String(index),
    },
  });
}

/** Return the smallest rectangle around *boxes*. */
export function getBounds(boxes) {
  return [
    Math.min(...boxes.map(([left]) => left)),
    Math.min(...boxes.map(([, top]) => top)),
    Math.max(...boxes.map(([, , right]) => right)),
    Math.max(...boxes.map(([, , , bottom]) => bottom)),
  ];
}
