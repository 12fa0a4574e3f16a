// A map of the world with clustered points, drawn as SVG without any request for tiles.
//
//   const map = worldMap({ points, routes, label, onSelect })
//   map.element; map.zoomIn(); map.zoomOut(); map.reset(); map.zoomTo(cluster)
//
// *points* and *routes* are functions that read signals. A point has `lat`, `lon` and `tone`. The
// map itself is hidden from screen readers: a table beside it has the same content.

import { html, replaceChildren, svg } from "../lib/dom.js";
import { MAP_HEIGHT, MAP_WIDTH, cluster, greatCircle, project, toPath } from "../lib/geo.js";
import { formatNumber } from "../lib/i18n.js";
import { readLand } from "../lib/land_outline.js";
import { computed, effect, onDispose, signal } from "../lib/reactive.js";

const CELL = 18;
const MAX_ZOOM = 16;
const PAN_SHARE = 0.2;
const GRATICULE_DEGREES = 30;
// Places for orientation, with rounded coordinates.
const PLACES = [
  ["Los Angeles", -118, 34], ["Chicago", -87.6, 41.9], ["New York", -74, 40.7], ["Mexico City", -99, 19.4], ["Bogotá", -74, 4.7], ["São Paulo", -46.6, -23.5], ["London", 0, 51.5],
  ["Madrid", -3.7, 40.4], ["Frankfurt", 8.7, 50.1], ["Istanbul", 29, 41], ["Cairo", 31.2, 30], ["Lagos", 3.4, 6.5], ["Nairobi", 36.8, -1.3], ["Cape Town", 18.4, -33.9],
  ["Dubai", 55.3, 25.2], ["Mumbai", 72.9, 19.1], ["Singapore", 103.8, 1.3], ["Hong Kong", 114.2, 22.3], ["Shanghai", 121.5, 31.2], ["Tokyo", 139.7, 35.7], ["Sydney", 151.2, -33.9],
];
// Names of all places are shown from this zoom on; before, of every third one, or of none.
const ALL_PLACES_ZOOM = 2;
const MIN_PLACES_ZOOM = 0.8;
// The tone of a cluster is the first of these that one of its points has.
const TONES = ["bad", "warn", "accent", "good"];

/** @typedef {{lat: number, lon: number, tone: string}} Point */

/**
 * @param {object} options
 * @param {() => Point[]} options.points
 * @param {() => {from: Point, to: Point}[]} options.routes drawn as great circles
 * @param {string} options.label
 * @param {string} options.help how to use the keyboard
 * @param {(points: Point[]) => void} options.onSelect
 */
export function worldMap({ points, routes, label, help, onSelect }) {
  const view = signal({ zoom: 1, x: MAP_WIDTH / 2, y: MAP_HEIGHT / 2 });
  // Points and names have the same size on narrow screens: it is divided by this factor.
  const width = signal(MAP_WIDTH);
  const zoom = computed(() => view.value.zoom * Math.min(1, width.value / MAP_WIDTH));
  const places = svg.g();
  const lines = svg.g();
  const marks = svg.g();
  const drawing = svg.svg(
    { class: "world-map", viewBox: getViewBox(view.peek()), "aria-hidden": "true", preserveAspectRatio: "xMidYMid meet" },
    svg.path({ class: "map-land", d: readLand().map((ring) => toPath(ring, true)).join("") }),
    svg.path({ class: "map-graticule", d: getGraticule() }),
    places,
    lines,
    marks,
  );
  effect(() => drawing.setAttribute("viewBox", getViewBox(view.value)));
  effect(() => replaceChildren(places, placeLabels(zoom.value)));
  effect(() => replaceChildren(lines, routes().map(({ from, to }) => svg.path({ class: "map-route", d: toPath(greatCircle(from, to)), style: { "stroke-width": String(1.4 / zoom.value) } }))));
  effect(() => replaceChildren(marks, cluster(points(), CELL / zoom.value).map((each) => clusterMark(each, zoom.value, onSelect))));
  const change = (factor, x = view.peek().x, y = view.peek().y) => (view.value = clampView(view.peek().zoom * factor, x, y));
  const pan = (dx, dy) => {
    const { zoom: factor, x, y } = view.peek();
    change(1, x + (dx * PAN_SHARE * MAP_WIDTH) / factor, y + (dy * PAN_SHARE * MAP_HEIGHT) / factor);
  };
  const actions = { "+": () => change(2), "=": () => change(2), "-": () => change(0.5), 0: reset, ArrowLeft: () => pan(-1, 0), ArrowRight: () => pan(1, 0), ArrowUp: () => pan(0, -1), ArrowDown: () => pan(0, 1) };
  function reset() {
    view.value = { zoom: 1, x: MAP_WIDTH / 2, y: MAP_HEIGHT / 2 };
  }
  const handleKey = (event) => {
    const action = !event.ctrlKey && !event.metaKey && !event.altKey && actions[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  };
  const element = html.div({ class: "map-box", tabindex: "0", role: "group", "aria-label": `${label}. ${help}`, onkeydown: handleKey }, drawing);
  enableDragging(drawing, view, change);
  const observer = new ResizeObserver(() => (width.value = Math.max(1, Math.round(drawing.getBoundingClientRect().width))));
  observer.observe(drawing);
  onDispose(() => observer.disconnect());
  return { element, zoomIn: () => change(2), zoomOut: () => change(0.5), reset, zoomTo: ({ lat, lon }) => change(view.peek().zoom >= 4 ? 1 : 2, ...project(lon, lat)) };
}

function getViewBox({ zoom, x, y }) {
  const [width, height] = [MAP_WIDTH / zoom, MAP_HEIGHT / zoom];
  return `${x - width / 2} ${y - height / 2} ${width} ${height}`;
}

/** Keep the view inside the map. */
function clampView(zoom, x, y) {
  const next = Math.max(1, Math.min(MAX_ZOOM, zoom));
  const clamp = (value, size) => Math.max(size / next / 2, Math.min(size - size / next / 2, value));
  return { zoom: next, x: clamp(x, MAP_WIDTH), y: clamp(y, MAP_HEIGHT) };
}

function getGraticule() {
  const lines = [];
  for (let lon = -180; lon <= 180; lon += GRATICULE_DEGREES) lines.push(toPath([[lon, 84], [lon, -60]]));
  for (let lat = -60; lat <= 60; lat += GRATICULE_DEGREES) lines.push(`M0 ${project(0, lat)[1]}H${MAP_WIDTH}`);
  return lines.join("");
}

function placeLabels(zoom) {
  const isShown = (index) => zoom >= ALL_PLACES_ZOOM || (zoom >= MIN_PLACES_ZOOM && index % 3 === 2);
  return PLACES.filter((_, index) => isShown(index)).map(([name, lon, lat]) => {
    const [x, y] = project(lon, lat);
    return svg.text({ class: "map-place", x: x + 3 / zoom, y: y - 2 / zoom, style: { "font-size": `${8 / zoom}px` } }, name);
  });
}

function clusterMark({ x, y, items }, zoom, onSelect) {
  const tone = TONES.find((each) => items.some((item) => item.tone === each)) ?? "accent";
  const radius = (items.length === 1 ? 3 : Math.min(11, 5 + Math.log2(items.length))) / zoom;
  return svg.g(
    { class: `map-point ${tone}`, onclick: () => onSelect(items) },
    svg.circle({ cx: x, cy: y, r: radius, style: { "stroke-width": String(0.8 / zoom) } }),
    items.length > 1 && svg.text({ x, y, "text-anchor": "middle", "dominant-baseline": "central", style: { "font-size": `${Math.min(8, 5.5 + Math.log10(items.length)) / zoom}px` } }, formatNumber(items.length, { notation: "compact" })),
  );
}

/** Move the map with the pointer; the wheel zooms only with Ctrl, so that the page scrolls. */
function enableDragging(drawing, view, change) {
  let start = null;
  drawing.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || view.peek().zoom === 1) return;
    start = { x: event.clientX, y: event.clientY, view: view.peek() };
  });
  drawing.addEventListener("pointermove", (event) => {
    if (!start) return;
    const scale = MAP_WIDTH / start.view.zoom / drawing.getBoundingClientRect().width;
    change(1, start.view.x - (event.clientX - start.x) * scale, start.view.y - (event.clientY - start.y) * scale);
  });
  for (const type of ["pointerup", "pointerleave", "pointercancel"]) drawing.addEventListener(type, () => (start = null));
  drawing.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    change(event.deltaY < 0 ? 1.25 : 0.8);
  });
}
