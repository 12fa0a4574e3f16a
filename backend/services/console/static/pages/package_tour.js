// Tours of vehicles: start of the search from the selected packages, its progress, and the stops.

import { html, replaceChildren } from "../lib/dom.js";
import { formatDuration, formatNumber, t } from "../lib/i18n.js";
import { effect, onDispose, signal, watchLifetime } from "../lib/reactive.js";
import { consolePath, navigate } from "../lib/router.js";
import { getPackage, getTour, startTour } from "../model/packages.js";
import { openFormDialog } from "../ui/form_dialog.js";
import { errorState, skeleton } from "../ui/states.js";
import { tourPlan } from "../ui/tour_plan.js";
import { getPlaceName } from "./package_labels.js";
import { packageTabs } from "./package_tabs.js";

const POLL_MS = 1000;
const COORDINATES = /^(-?\d{1,2}(?:\.\d+)?)\s*[,;]\s*(-?\d{1,3}(?:\.\d+)?)$/;
const SECONDS = "30";

/** Ask for depot and vehicles, start the search, and show it. */
export async function planTours(packages) {
  const started = await openFormDialog({
    title: t("planTours"),
    text: t("planToursText", formatNumber(packages.length)),
    action: t("startSearch"),
    fields: [
      { name: "depot", label: t("depot"), isRequired: true, hint: t("depotHint") },
      { name: "vehicles", label: t("vehicleCount"), type: "number", value: "1", isRequired: true },
      { name: "capacity", label: t("capacityKg"), type: "number", hint: t("noLimitHint") },
      { name: "seconds", label: t("searchSeconds"), type: "number", value: SECONDS, isRequired: true },
    ],
    submit: (values) => startTour(toRequest(values, packages)),
  });
  if (started?.id) navigate(`/packages/tours/${encodeURIComponent(started.id)}`);
}

function toRequest({ depot, vehicles, capacity, seconds }, packages) {
  const match = COORDINATES.exec(depot);
  if (!match) throw new FieldError("depot", t("depotInvalid"));
  const [lat, lon] = [Number(match[1]), Number(match[2])];
  const kind = { name: t("vehicle"), count: Number(vehicles), ...(capacity ? { capacity_g: Math.round(Number(capacity) * 1000) } : {}) };
  return { depot: { lat, lon }, vehicles: [kind], package_ids: packages.map(({ id }) => id), seconds: Number(seconds) };
}

/** An error that the form shows at its field, as those of the server. */
class FieldError extends Error {
  name = "ApiError";

  constructor(field, detail) {
    super(detail);
    this.errors = [{ pointer: `#/${field}`, detail }];
  }
}

/** @param {{id: string}} parameters */
export function page({ id }) {
  const tour = signal(null);
  followTour(id, tour);
  const body = html.div({ class: "page-body" });
  effect(() => replaceChildren(body, renderTour(tour.value)));
  return html.div({ class: "page-frame" }, html.header({ class: "page-header" }, html.h1({ class: "title" }, t("tours")), packageTabs()), body);
}

/** Read the tour until its search has ended or the screen is left. */
function followTour(id, tour) {
  let timer = null;
  const isLeft = watchLifetime();
  const read = async () => {
    const found = await getTour(id).catch((error) => ({ error }));
    // The screen can be left while the request runs.
    if (isLeft()) return;
    tour.value = found;
    if (isSearching(found)) timer = setTimeout(read, POLL_MS);
  };
  onDispose(() => clearTimeout(timer));
  read();
}

const isSearching = ({ state }) => state === "queued" || state === "running";
const formatMetres = (metres) => formatNumber(metres / 1000, { style: "unit", unit: "kilometer", maximumFractionDigits: 1 });

function renderTour(tour) {
  if (tour === null) return skeleton(6);
  if (tour.state === undefined) return errorState(tour.error);
  if (isSearching(tour)) return progress(tour.progress);
  if (tour.state === "failed") return html.div({ class: "failure", role: "alert" }, html.p(html.strong(t("toursFailed"))), html.p(tour.error?.detail));
  return [totals(tour), tour.tours.length > 0 && tourPlan(tour), tour.tours.map(vehicleTour), tour.unassigned.length > 0 && unassigned(tour.unassigned)];
}

function progress(found) {
  if (!found) return html.p({ role: "status" }, t("tourWaits"));
  return html.div(
    { class: "import-progress" },
    html.p({ role: "status" }, t("tourSearches")),
    html.progress({ max: String(found.seconds), value: found.elapsed_s, "aria-label": t("tourProgress") }),
    found.distance_m !== null && html.p({ class: "number" }, t("bestSoFar", formatMetres(found.distance_m))),
  );
}

function totals({ tours, unassigned: left, distance_m: distance }) {
  const stops = tours.reduce((sum, each) => sum + each.stops.length, 0);
  const facts = [["tourDistance", formatMetres(distance)], ["usedVehicles", formatNumber(tours.length)], ["tourStops", formatNumber(stops)], ["unassignedPackages", formatNumber(left.length)]];
  return html.dl({ class: "totals" }, facts.map(([key, value]) => html.div(html.dt(t(key)), html.dd({ class: "number" }, value))));
}

/** The stops of a vehicle. Their packages are loaded when the list is opened. */
function vehicleTour(tour, index) {
  const names = signal(new Map());
  const isLeft = watchLifetime();
  const load = async (event) => {
    if (!event.currentTarget.open || names.peek().size) return;
    names.value = await loadNames(tour.stops, isLeft);
  };
  const list = html.ol({ class: "tour-stops" });
  effect(() => replaceChildren(list, tour.stops.map((stop) => stopItem(stop, names.value.get(stop.package_id)))));
  const summary = [`${tour.vehicle} ${formatNumber(index + 1)}`, formatMetres(tour.distance_m), formatDuration(tour.duration_s * 1000), t("stopCount", tour.stops.length)].join(" · ");
  return html.details({ class: "tour-vehicle", ontoggle: load }, html.summary({ dir: "auto" }, summary), list);
}

/** Return the names of the packages by id. The requests end when *isLeft* returns true. */
async function loadNames(stops, isLeft) {
  const names = new Map();
  for (const { package_id: id } of stops) {
    if (isLeft()) break;
    const found = await getPackage(id).catch(() => null);
    if (found) names.set(id, [found.tracking_number, getPlaceName(found.destination)].filter(Boolean).join(" · "));
  }
  return names;
}

const packageLink = (id, name) => html.a({ class: "number", href: consolePath(`/packages/${encodeURIComponent(id)}`), dir: "auto" }, name ?? id);

const stopItem = ({ package_id: id, distance_m: distance, arrives_after_s: seconds }, name) =>
  html.li(packageLink(id, name), " ", html.span({ class: "faint" }, t("stopText", formatMetres(distance), formatDuration(seconds * 1000))));

const unassigned = (ids) => html.section({ class: "details-section" }, html.h2(t("unassignedPackages")), html.p(t("unassignedText")), html.ul(ids.map((id) => html.li(packageLink(id)))));
