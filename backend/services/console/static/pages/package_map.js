// Map of packages: the last positions, clustered, with routes; live through the topic `map`.

import { html, keyedList, replaceChildren } from "../lib/dom.js";
import { formatNumber, formatRelativeTime, t } from "../lib/i18n.js";
import { computed, effect, signal } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import { createThrottle, followTopics } from "../model/live.js";
import { CLOSED, getPositions } from "../model/packages.js";
import { iconButton } from "../ui/icon.js";
import { asyncContent } from "../ui/states.js";
import { dataTable } from "../ui/table.js";
import { worldMap } from "../ui/world_map.js";
import { getEventName, getPlaceName, statusChips } from "./package_labels.js";
import { packageTabs } from "./package_tabs.js";

const RELOAD_MS = 5000;
const MAX_ROUTES = 40;
const MAX_ALL_ROUTES = 20;
const MAX_ROWS = 100;
const MAX_SELECTED = 20;
const PROBLEMS = new Set(["exception", "expired", "attempted", "returning"]);
const GROUPS = [["moving", "accent"], ["late", "warn"], ["problem", "bad"]];

export function page() {
  return html.div(
    { class: "page-frame" },
    html.header({ class: "page-header" }, html.h1({ class: "title" }, t("packageMap")), packageTabs()),
    asyncContent(getPositions, mapView, { lines: 8, className: "map-page" }),
  );
}

const getGroup = ({ status, late }) => (PROBLEMS.has(status) ? "problem" : late ? "late" : "moving");
const getTone = (shown) => GROUPS.find(([group]) => group === getGroup(shown))[1];

function mapView(loaded) {
  const positions = signal(new Map(loaded.items.map((item) => [item.id, item])));
  const unplaced = signal(loaded.without_position);
  const isComplete = signal(loaded.complete);
  const selection = signal([]);
  const selected = computed(() => selection.value.map((id) => positions.value.get(id)).filter(Boolean));
  const load = async () => {
    const next = await getPositions().catch(() => null);
    if (!next) return;
    positions.value = new Map(next.items.map((item) => [item.id, item]));
    unplaced.value = next.without_position;
    isComplete.value = next.complete;
  };
  const isLive = followMap(positions, load);
  const points = () => [...positions.value.values()].map((item) => ({ ...item, tone: getTone(item) }));
  // Without a selection, all routes are drawn if they are few enough to be told apart.
  const routes = () => {
    const shown = selected.value.length ? selected.value : positions.value.size <= MAX_ALL_ROUTES ? [...positions.value.values()] : [];
    return shown.slice(0, MAX_ROUTES).flatMap(getRoutes);
  };
  const map = worldMap({
    points,
    routes,
    label: t("packageMap"),
    help: t("mapKeys"),
    onSelect: (items) => {
      selection.value = items.map(({ id }) => id);
      if (items.length > 1) map.zoomTo(items[0]);
    },
  });
  return [
    html.div(
      { class: "map-frame" },
      map.element,
      html.div({ class: "map-tools" }, iconButton("zoom-in", t("zoomMapIn"), { onclick: map.zoomIn }), iconButton("zoom-out", t("zoomMapOut"), { onclick: map.zoomOut }), iconButton("globe", t("wholeMap"), { onclick: map.reset })),
      legend(positions),
    ),
    html.p({ class: "faint", role: "status" }, () => getNote(isLive.value, unplaced.value, isComplete.value)),
    selectedPackages(selected),
    positionTable(positions),
  ];
}

/** Move points with each event of the topic; packages that are new on the map are loaded. */
function followMap(positions, load) {
  const reload = createThrottle(load, RELOAD_MS);
  let isFirst = true;
  const onEvent = ({ type, data }) => {
    const known = positions.peek().get(data.package_id);
    if (type === "packages.deleted" && known) {
      const next = new Map(positions.peek());
      next.delete(data.package_id);
      positions.value = next;
    } else if (type === "packages.event-recorded" && known && hasPosition(data.location) && data.occurred_at >= known.occurred_at) {
      positions.value = new Map(positions.peek()).set(known.id, { ...known, code: data.code, occurred_at: data.occurred_at, place: data.location, lat: data.location.lat, lon: data.location.lon });
      reload(); // the status may have changed with the event
    } else if (type !== "packages.deleted") reload();
  };
  const onReady = () => {
    if (!isFirst) reload();
    isFirst = false;
  };
  return followTopics(["map"], { onEvent, onReady }).isLive;
}

const hasPosition = (place) => typeof place?.lat === "number" && typeof place?.lon === "number";

/** Return the route from the origin to the last position, and the one from there to the destination. */
function getRoutes({ lat, lon, origin, destination, status }) {
  const here = { lat, lon };
  return [hasPosition(origin) && { from: origin, to: here }, hasPosition(destination) && !CLOSED.has(status) && { from: here, to: destination }].filter(Boolean);
}

function legend(positions) {
  const count = (group) => [...positions.value.values()].filter((item) => getGroup(item) === group).length;
  return html.dl({ class: "map-legend" }, GROUPS.map(([group, tone]) => html.div(html.dt({ class: `map-key ${tone}` }, t(`group_${group}`)), html.dd({ class: "number" }, () => formatNumber(count(group))))));
}

function getNote(isLive, unplaced, isComplete) {
  return [t(isLive ? "packagesLive" : "packagesNotLive"), unplaced > 0 && t("withoutPosition", formatNumber(unplaced)), !isComplete && t("mapIncomplete")].filter(Boolean).join(" ");
}

const getPath = ({ id }) => consolePath(`/packages/${encodeURIComponent(id)}`);

/** The packages of the point that was clicked. */
function selectedPackages(selected) {
  const list = html.ul({ class: "plain-list map-selection", role: "list", "aria-label": t("selectedPackages"), hidden: () => selected.value.length === 0 });
  return keyedList(
    list,
    () => selected.value.slice(0, MAX_SELECTED),
    ({ id }) => id,
    (item) => html.li(html.a({ class: "number", href: getPath(item.peek()), translate: "no" }, item.peek().tracking_number), () => [" ", statusChips(item.value), " ", html.span({ class: "faint" }, lastEventText(item.value))]),
  );
}

const lastEventText = ({ code, place, occurred_at: time }) => [getEventName(code), getPlaceName(place), formatRelativeTime(time)].filter(Boolean).join(" · ");

/** The same as the map, for screen readers and the keyboard. It is drawn while it is open. */
function positionTable(positions) {
  const isOpen = signal(false);
  const content = html.div();
  effect(() => {
    const items = isOpen.value ? [...positions.value.values()] : [];
    replaceChildren(content, items.length > 0 && [items.length > MAX_ROWS && html.p({ class: "faint" }, t("firstRows", formatNumber(MAX_ROWS))), dataTable({ label: t("mapAsTable"), columns: getColumns(), items: items.slice(0, MAX_ROWS) })]);
  });
  return html.details({ class: "map-table", ontoggle: (event) => (isOpen.value = event.currentTarget.open) }, html.summary(t("mapAsTable")), content);
}

function getColumns() {
  return [
    { label: t("trackingNumber"), render: (item) => html.a({ class: "number", href: getPath(item), translate: "no" }, item.tracking_number) },
    { label: t("packageStatus"), render: statusChips },
    { label: t("eventPlace"), render: ({ place, lat, lon }) => html.span({ dir: "auto" }, getPlaceName(place) ?? `${formatNumber(lat)}°, ${formatNumber(lon)}°`) },
    { label: t("lastEvent"), render: ({ code, occurred_at: time }) => `${getEventName(code)}, ${formatRelativeTime(time)}` },
    { label: t("destination"), render: ({ destination }) => html.span({ dir: "auto" }, getPlaceName(destination) ?? "–") },
  ];
}
