// A QR code as an image.

import { svg } from "../lib/dom.js";

// Readers need a light margin of four modules (ISO/IEC 18004, section 6.3.8).
const MARGIN = 4;

/**
 * Return the image of a QR code, dark on light in both themes: not all readers accept the inverse.
 *
 * @param {string[]} rows modules by row: "1" is dark, "0" is light
 * @param {string} label
 */
export function qrCode(rows, label) {
  const size = rows.length + 2 * MARGIN;
  return svg.svg(
    { class: "qr-code", viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg.rect({ width: size, height: size, fill: "#fff" }),
    svg.path({ fill: "#000", d: rows.map((row, y) => [...row.matchAll(/1+/g)].map(({ 0: run, index }) => `M${index + MARGIN} ${y + MARGIN}h${run.length}v1h-${run.length}z`).join("")).join("") }),
  );
}
