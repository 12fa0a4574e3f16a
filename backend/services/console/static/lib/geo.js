// Geometry of the map: equirectangular projection, great circles, clusters.

/** Size of the map in units of the drawing: two units a degree, between these latitudes. */
export const MAX_LATITUDE = 84;
export const MIN_LATITUDE = -60;
export const MAP_WIDTH = 720;
export const MAP_HEIGHT = 2 * (MAX_LATITUDE - MIN_LATITUDE);

const RADIANS = Math.PI / 180;
const CIRCLE_STEP_DEGREES = 3;

/** Return the place of a position in the drawing. */
export function project(lon, lat) {
  const clamped = Math.max(MIN_LATITUDE, Math.min(MAX_LATITUDE, lat));
  return [(lon + 180) * 2, (MAX_LATITUDE - clamped) * 2];
}

/** Return a path through *points* of `[lon, lat]`. It is interrupted at the date line. */
export function toPath(points, isClosed = false) {
  let previous = null;
  const parts = points.map(([lon, lat]) => {
    const [x, y] = project(lon, lat);
    const isCut = previous === null || Math.abs(lon - previous) > 180;
    previous = lon;
    return `${isCut ? "M" : "L"}${round(x)} ${round(y)}`;
  });
  return parts.join("") + (isClosed ? "Z" : "");
}

const round = (value) => Math.round(value * 10) / 10;

/** Return points of the great circle between two positions `{lat, lon}`, with both ends. */
export function greatCircle(from, to) {
  const start = toVector(from);
  const end = toVector(to);
  const angle = Math.acos(Math.max(-1, Math.min(1, start.reduce((sum, value, index) => sum + value * end[index], 0))));
  // The great circle between equal or opposite points of the earth is not defined.
  if (angle < 1e-6 || Math.PI - angle < 1e-6) return [[from.lon, from.lat], [to.lon, to.lat]];
  const steps = Math.max(2, Math.ceil(angle / RADIANS / CIRCLE_STEP_DEGREES));
  return Array.from({ length: steps + 1 }, (_, index) => {
    const share = index / steps;
    const first = Math.sin((1 - share) * angle) / Math.sin(angle);
    const second = Math.sin(share * angle) / Math.sin(angle);
    return toPosition(start.map((value, axis) => value * first + end[axis] * second));
  });
}

function toVector({ lat, lon }) {
  const [phi, lambda] = [lat * RADIANS, lon * RADIANS];
  return [Math.cos(phi) * Math.cos(lambda), Math.cos(phi) * Math.sin(lambda), Math.sin(phi)];
}

const toPosition = ([x, y, z]) => [Math.atan2(y, x) / RADIANS, Math.atan2(z, Math.hypot(x, y)) / RADIANS];

/**
 * Join items whose places are in the same cell of a grid.
 *
 * @template T
 * @param {T[]} items with `lat` and `lon`
 * @param {number} size of a cell in units of the drawing
 * @returns {{key: string, x: number, y: number, items: T[]}[]}
 */
export function cluster(items, size) {
  const cells = new Map();
  for (const item of items) {
    const [x, y] = project(item.lon, item.lat);
    const key = `${Math.floor(x / size)}/${Math.floor(y / size)}`;
    const cell = cells.get(key) ?? { key, x: 0, y: 0, items: [] };
    cell.x += x;
    cell.y += y;
    cell.items.push(item);
    cells.set(key, cell);
  }
  return [...cells.values()].map((cell) => ({ ...cell, x: cell.x / cell.items.length, y: cell.y / cell.items.length }));
}
