// Icons: line drawings on a grid of 24 × 24 in the colour of the text.
//
//   icon("search")                                     decorative
//   iconButton("close", t("close"), { onclick: close })   button with an icon only

import { html, svg } from "../lib/dom.js";

const PATHS = {
  plus: "M12 5v14 M5 12h14",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13z M15.3 15.3L20 20",
  "arrow-up": "M12 19V5 M6 11l6-6l6 6",
  "arrow-down": "M12 5v14 M6 13l6 6l6-6",
  "arrow-left": "M19 12H5 M11 6l-6 6l6 6",
  stop: "M8 8h8v8H8z",
  repeat: "M19 12a7 7 0 1 1-2-4.9 M19 3.5v4h-4",
  copy: "M9 9h10v10H9z M6 15H5V5h10v1",
  check: "M5 12.5l4.5 4.5L19 7",
  edit: "M4.500 19.500l1-4L16 5l3 3L8.500 18.500z M14 7l3 3",
  "thumb-up": "M7 11v8H4v-8z M7 11l3.800-6.800c1.600 0 2.400 1.300 2 2.800L12 10h6.200c1.300 0 2.200 1.200 1.900 2.400l-1.300 5.100a2 2 0 0 1-1.900 1.500H7",
  "thumb-down": "M17 13V5h3v8z M17 13l-3.800 6.800c-1.600 0-2.400-1.300-2-2.800L12 14H5.800c-1.300 0-2.200-1.200-1.900-2.400l1.300-5.100A2 2 0 0 1 7.100 5H17",
  left: "M14.500 6l-6 6l6 6",
  right: "M9.500 6l6 6l-6 6",
  down: "M6 9.500l6 6l6-6",
  close: "M6 6l12 12 M18 6L6 18",
  more: "M6 12h.01 M12 12h.01 M18 12h.01",
  file: "M7 3.500h6.500L18 8v12.500H7z M13.500 3.500V8H18",
  documents: "M9 8h6l3.500 3.500V20H9z M6 16.500V4h8.500",
  clip: "M19.500 11.500l-7.600 7.600a4.600 4.600 0 0 1-6.500-6.500l8-8a3.100 3.100 0 0 1 4.400 4.400l-8 8a1.500 1.500 0 0 1-2.200-2.200l7.300-7.300",
  chat: "M4.500 5h15v11h-9l-4 3.500V16h-2z",
  panel: "M4 5h16v14H4z M9.500 5v14",
  user: "M12 4.500a3.500 3.500 0 1 0 0 7a3.500 3.500 0 0 0 0-7z M5 19.500c.6-3.100 3.400-5 7-5s6.400 1.900 7 5",
  users: "M9 5a3.200 3.200 0 1 0 0 6.400A3.200 3.200 0 0 0 9 5z M3 19c.5-2.800 2.900-4.500 6-4.500s5.500 1.700 6 4.500 M15.500 5.300a3.200 3.200 0 0 1 0 5.900 M17.500 14.800c2 .6 3.200 2.100 3.500 4.200",
  settings: "M12 9a3 3 0 1 0 0 6a3 3 0 0 0 0-6z M12 3.500V6 M12 18v2.500 M3.500 12H6 M18 12h2.500 M6 6l1.800 1.800 M16.200 16.200L18 18 M18 6l-1.800 1.800 M7.800 16.200L6 18",
  chart: "M4 20h16 M7 16v-5 M12 16V5 M17 16v-8",
  map: "M9 4.500L4 7v12.500l5-2.500l6 2.500l5-2.500V4.500L15 7z M9 4.500V17 M15 7v12.500",
  globe: "M12 4a8 8 0 1 0 0 16a8 8 0 0 0 0-16z M4 12h16 M12 4c4.700 5 4.700 11 0 16c-4.700-5-4.700-11 0-16",
  sun: "M12 8a4 4 0 1 0 0 8a4 4 0 0 0 0-8z M12 2.500v2 M12 19.500v2 M2.500 12h2 M19.500 12h2 M5.300 5.300l1.400 1.400 M17.300 17.300l1.400 1.400 M18.700 5.300l-1.400 1.400 M6.700 17.300l-1.400 1.400",
  moon: "M19.500 14A8 8 0 1 1 10 4.500a6.500 6.500 0 0 0 9.500 9.500z",
  display: "M4 5h16v11H4z M9 20h6 M12 16v4",
  "sign-out": "M13 5H6v14h7 M11 12h9 M16.500 8.500L20 12l-3.500 3.500",
  trash: "M5 7h14 M10 7V4.500h4V7 M7 7l.8 12.500h8.400L17 7",
  warning: "M12 4.500L21 19.500H3z M12 10v4.500 M12 17h.01",
  info: "M12 4a8 8 0 1 0 0 16a8 8 0 0 0 0-16z M12 11v5 M12 8h.01",
  key: "M8.500 11a4 4 0 1 0 0 8a4 4 0 0 0 0-8z M11.500 12L19 4.500 M16 7.500l2.500 2.500",
  spark: "M12 4l1.800 6.200L20 12l-6.200 1.800L12 20l-1.800-6.200L4 12l6.200-1.800z",
  layers: "M12 4l8 4l-8 4l-8-4z M4 12l8 4l8-4 M4 16l8 4l8-4",
  expand: "M14 5h5v5 M10 19H5v-5 M19 5l-6 6 M5 19l6-6",
  lock: "M7 11h10v8.500H7z M9 11V8a3 3 0 0 1 6 0v3",
  upload: "M12 16V5 M7.500 9.500L12 5l4.500 4.500 M5 19.500h14",
  download: "M12 5v11 M7.500 11.500L12 16l4.500-4.500 M5 19.500h14",
  folder: "M3.500 6h6l2 2.500h9V19h-17z",
  share: "M8.500 12a2.500 2.500 0 1 0-5 0a2.500 2.500 0 0 0 5 0z M20.500 6a2.500 2.500 0 1 0-5 0a2.500 2.500 0 0 0 5 0z M20.500 18a2.500 2.500 0 1 0-5 0a2.500 2.500 0 0 0 5 0z M8.300 10.900l7.400-3.800 M8.300 13.100l7.400 3.800",
  bell: "M6 17V11a6 6 0 0 1 12 0v6l1.500 1.500h-15z M10.500 20.500h3",
  clock: "M12 4a8 8 0 1 0 0 16a8 8 0 0 0 0-16z M12 8v4.500l3 1.500",
  graph: "M5 4h5v4H5z M14 10h5v4h-5z M5 16h5v4H5z M10 6h2v12h-2 M12 12h2",
  keyboard: "M3 6.500h18v11H3z M7 10h.01 M11 10h.01 M15 10h.01 M18 10h.01 M8 14h8",
  "zoom-in": "M10.500 4a6.500 6.500 0 1 0 0 13a6.500 6.500 0 0 0 0-13z M15.300 15.300L20 20 M10.500 7.800v5.400 M7.800 10.500h5.400",
  "zoom-out": "M10.500 4a6.500 6.500 0 1 0 0 13a6.500 6.500 0 0 0 0-13z M15.300 15.300L20 20 M7.800 10.500h5.400",
  health: "M3.500 12.500h4l2-6l4 11l2.500-5h4.500",
  shield: "M12 4l7 2.500v5c0 4-2.800 7-7 8.500c-4.200-1.500-7-4.500-7-8.500v-5z",
  queue: "M5 6h14 M5 10.500h14 M5 15h9 M5 19.500h5",
  offline: "M4 4l16 16 M8.500 15a5 5 0 0 1 5-1.300 M5.500 11.500a9 9 0 0 1 4-2.300 M13.500 8.900a9 9 0 0 1 5 2.600 M12 18.500h.01",
};

const DIRECTIONAL = new Set(["left", "right", "arrow-left", "sign-out", "panel"]);

/** Return the icon *name*, hidden from assistive technology. */
export function icon(name) {
  const direction = DIRECTIONAL.has(name) ? " directional" : "";
  return svg.svg({ class: `icon${direction}`, viewBox: "0 0 24 24", "aria-hidden": "true" }, svg.path({ d: PATHS[name] }));
}

/** Return the product's logo: lines of text, one of them marked. */
export function logo() {
  return svg.svg(
    { class: "logo", viewBox: "0 0 32 32", "aria-hidden": "true" },
    svg.rect({ class: "logo-ground", x: 2, y: 2, width: 28, height: 28, rx: 8 }),
    svg.rect({ class: "logo-mark", x: 7, y: 13, width: 18, height: 6.5, rx: 2 }),
    svg.path({ class: "logo-lines", d: "M8.500 9.500h9 M9.500 16.250h13 M8.500 23h12" }),
  );
}

/** Return a button that shows only an icon. *label* is its name and tooltip. */
export function iconButton(name, label, attributes = {}) {
  const { class: extra = "", ...others } = attributes;
  return html.button({ type: "button", class: `tool ${extra}`.trim(), "aria-label": label, title: label, ...others }, icon(name));
}
