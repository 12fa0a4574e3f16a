// A plan of tours: the depot, and the stops of each vehicle in their order, drawn as SVG.
//
//   tourPlan({ depot, tours, label })
//
// The plan is hidden from screen readers: lists beside it have the same content.

import { svg } from "../lib/dom.js";

const WIDTH = 800;
const HEIGHT = 480;
const MARGIN = 24;
const RADIUS = 9;
const TONES = 4;

/** @typedef {{lat: number, lon: number}} Place */

/** @param {{depot: Place, tours: {stops: Place[]}[]}} options */
export function tourPlan({ depot, tours }) {
  const project = createProjection([depot, ...tours.flatMap(({ stops }) => stops)]);
  const [x, y] = project(depot);
  return svg.svg(
    { class: "tour-plan", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", preserveAspectRatio: "xMidYMid meet" },
    tours.map(({ stops }, index) => svg.path({ class: `chart-line series-${(index % TONES) + 1}`, d: `M${[depot, ...stops, depot].map((place) => project(place).join(" ")).join("L")}` })),
    tours.map(({ stops }, index) => stops.map((place, position) => stopMark(project(place), position + 1, index))),
    svg.rect({ class: "tour-depot", x: x - RADIUS, y: y - RADIUS, width: 2 * RADIUS, height: 2 * RADIUS, rx: 2 }),
  );
}

const stopMark = ([x, y], number, index) =>
  svg.g(
    svg.circle({ class: `tour-stop series-${(index % TONES) + 1}`, cx: x, cy: y, r: RADIUS }),
    svg.text({ class: "tour-number", x, y, "text-anchor": "middle", "dominant-baseline": "central" }, String(number)),
  );

/** Return a function from a place to its point. Lengths are equal in both directions. */
function createProjection(places) {
  // A tour that crosses the date line must not go around the world.
  const first = places[0].lon;
  const unroll = (lon) => first + ((((lon - first + 180) % 360) + 360) % 360) - 180;
  const lats = places.map(({ lat }) => lat);
  const lons = places.map(({ lon }) => unroll(lon));
  const [south, north, west, east] = [Math.min(...lats), Math.max(...lats), Math.min(...lons), Math.max(...lons)];
  const narrowing = Math.cos((((south + north) / 2) * Math.PI) / 180);
  const scale = Math.min((WIDTH - 2 * MARGIN) / Math.max((east - west) * narrowing, 0.001), (HEIGHT - 2 * MARGIN) / Math.max(north - south, 0.001));
  const round = (value) => Math.round(value * 10) / 10;
  return ({ lat, lon }) => [round(WIDTH / 2 + (unroll(lon) - (west + east) / 2) * narrowing * scale), round(HEIGHT / 2 - (lat - (south + north) / 2) * scale)];
}
