// Dashboard of packages: counts, punctuality, error of predictions, problems, carriers and lanes;
// live through the topic `dashboard`.

import { get } from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatDateTime, formatNumber, formatPercent, formatRelativeTime, formatShortDate, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import { createThrottle, followTopics } from "../model/live.js";
import { STATUSES, getStats } from "../model/packages.js";
import { renderChart } from "../ui/chart.js";
import { emptyState, errorState, skeleton } from "../ui/states.js";
import { dataTable } from "../ui/table.js";
import { formatHours, getArrival, getCarrierName, getEventName, getPlaceName, getPlaceOfKey, getReason, statusChips } from "./package_labels.js";
import { packageTabs } from "./package_tabs.js";
import { createPeriod, periodButtons } from "./period_buttons.js";

const RELOAD_MS = 3000;
const MAX_PROBLEMS = 10;

export function page() {
  const days = createPeriod();
  const state = signal(null);
  const load = async () => {
    try {
      state.value = await loadAll(days.peek());
    } catch (error) {
      state.value = { error };
    }
  };
  effect(() => {
    days.value;
    load();
  });
  const isLive = followDashboard(load);
  const content = html.div({ class: "overview" });
  effect(() => replaceChildren(content, renderState(state.value, load)));
  return html.div(
    { class: "page-frame" },
    html.header({ class: "page-header" }, html.h1({ class: "title" }, t("packageDashboard")), packageTabs(), html.div({ class: "actions" }, periodButtons(days))),
    html.p({ class: "faint live-note", role: "status" }, () => t(isLive.value ? "packagesLive" : "packagesNotLive")),
    content,
  );
}

async function loadAll(days) {
  const list = (filter) => get("/packages", { ...filter, sort: "-updated_at", limit: MAX_PROBLEMS });
  const [stats, exceptions, late] = await Promise.all([getStats(days), list({ status: "exception" }), list({ late: true })]);
  return { stats, exceptions: exceptions.items, late: late.items };
}

function followDashboard(load) {
  const reload = createThrottle(load, RELOAD_MS);
  let isFirst = true;
  const onReady = () => {
    if (!isFirst) reload();
    isFirst = false;
  };
  return followTopics(["dashboard"], { onReady, onEvent: reload }).isLive;
}

function renderState(state, load) {
  if (state === null) return skeleton(8);
  if (state.error) return errorState(state.error, load);
  const { stats, exceptions, late } = state;
  if (!stats.total) return emptyState(t("noReadablePackages"));
  return [
    html.dl({ class: "totals" }, getTotals(stats).map(([key, value, note]) => html.div(html.dt(t(key)), html.dd({ title: note ?? null }, value)))),
    stats.prediction && html.p({ class: "faint" }, t("predictionFigures", formatNumber(stats.prediction.predictions), stats.prediction.coverage === null ? "–" : formatPercent(stats.prediction.coverage), formatHours(stats.prediction.planned_error_hours))),
    html.div({ class: "charts" }, getCharts(stats).map((chart) => renderChart(chart))),
    section("exceptions", exceptions, { status: "exception" }),
    section("latePackages", late, { late: "true" }),
    html.section({ class: "details-section" }, html.h2(t("byCarrier")), dataTable({ label: t("byCarrier"), columns: carrierColumns(), items: stats.carriers })),
    html.section({ class: "details-section" }, html.h2(t("byLane")), stats.lanes.length ? dataTable({ label: t("byLane"), columns: laneColumns(), items: stats.lanes }) : html.p({ class: "faint" }, t("noLanes"))),
  ];
}

const share = (part, whole) => (whole ? formatPercent(part / whole) : "–");

function getTotals({ total, late, on_time_rate: onTime, by_status: counts, prediction }) {
  return [
    ["packageTotal", formatNumber(total)],
    ["packageLateCount", formatNumber(late), share(late, total)],
    ["lateRate", share(late, total)],
    ["onTimeRate", onTime === null ? "–" : formatPercent(onTime)],
    ["predictionError", prediction ? formatHours(prediction.error_hours) : "–", prediction ? null : t("noPredictionFigures")],
    ["exceptions", formatNumber(counts.exception ?? 0)],
  ];
}

function getCharts({ by_status: counts, days }) {
  const statuses = STATUSES.filter((status) => counts[status]);
  const labels = days.map(({ date }) => formatShortDate(date));
  const charts = [{ title: t("byStatus"), labels: statuses.map((status) => t(`status_${status}`)), series: [{ name: t("packages"), values: statuses.map((status) => counts[status]) }] }];
  if (!days.length) return charts;
  return [
    ...charts,
    {
      title: t("deliveriesByDay"),
      labels,
      series: [
        { name: t("deliveredOnTime"), values: days.map((day) => day.on_time), tone: 1 },
        { name: t("deliveredLate"), values: days.map((day) => day.promised - day.on_time), tone: 4 },
        { name: t("deliveredWithoutPromise"), values: days.map((day) => day.delivered - day.promised), tone: 2 },
      ],
    },
    { type: "lines", title: t("transitTimes"), labels, format: formatHours, series: [{ name: t("medianTransit"), values: days.map((day) => day.transit_p50_hours), tone: 1 }, { name: t("slowTransit"), values: days.map((day) => day.transit_p90_hours), tone: 3 }] },
  ];
}

/** A list of packages with the link to all of them. */
function section(title, items, filter) {
  return html.section(
    { class: "details-section" },
    html.h2(t(title)),
    items.length ? dataTable({ label: t(title), columns: problemColumns(), items }) : html.p({ class: "faint" }, t("noneOfThem")),
    items.length > 0 && html.a({ href: `${consolePath("/packages")}?${new URLSearchParams(filter)}` }, t("showAllPackages")),
  );
}

function problemColumns() {
  return [
    { label: t("trackingNumber"), render: ({ id, tracking_number: number }) => html.a({ class: "number", href: consolePath(`/packages/${encodeURIComponent(id)}`), translate: "no" }, number) },
    { label: t("packageStatus"), render: statusChips },
    { label: t("reason"), render: ({ sub_status: sub }) => (sub ? getReason(sub) : "–") },
    { label: t("arrival"), render: arrivalLine },
    { label: t("lastEvent"), render: ({ last_event: last }) => (last ? [getEventName(last.code), getPlaceName(last.location), formatRelativeTime(last.occurred_at)].filter(Boolean).join(" · ") : "–") },
  ];
}

function arrivalLine(shown) {
  const { label, time, note } = getArrival(shown);
  return [label, time && formatDateTime(time), note && `(${note})`].filter(Boolean).join(" ");
}

function carrierColumns() {
  return [
    { label: t("carrier"), render: ({ carrier }) => html.a({ href: `${consolePath("/packages")}?carrier=${encodeURIComponent(carrier)}` }, getCarrierName(carrier)) },
    { label: t("packages"), className: "number", render: ({ packages }) => formatNumber(packages) },
    { label: t("packageLateCount"), className: "number", render: ({ late }) => formatNumber(late) },
    { label: t("lateRate"), className: "number", render: ({ late, packages }) => share(late, packages) },
  ];
}

function laneColumns() {
  const [, ...counts] = carrierColumns();
  const link = ({ origin, destination }) => `${consolePath("/packages")}?${new URLSearchParams({ origin, destination })}`;
  return [{ label: t("lane"), render: (lane) => html.a({ href: link(lane), dir: "auto" }, `${getPlaceOfKey(lane.origin)} → ${getPlaceOfKey(lane.destination)}`) }, ...counts];
}
