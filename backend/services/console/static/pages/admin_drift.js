// Drift of answers: the latest figures beside their usual values, charts of two days, and findings.

import { get } from "../lib/api.js";
import { html } from "../lib/dom.js";
import { formatDateTime, formatDuration, formatNumber, formatRelativeTime, formatTime, hasText, t } from "../lib/i18n.js";
import { computed } from "../lib/reactive.js";
import { createPolling } from "../model/polling.js";
import { renderChart } from "../ui/chart.js";
import { emptyState, errorState, skeleton } from "../ui/states.js";
import { dataTable } from "../ui/table.js";
import { adminFrame } from "./admin_frame.js";

// Hours are assessed once an hour.
const INTERVAL_MS = 60_000;
const HOUR_MS = 3_600_000;
const CHART_HOURS = 48;
const TONES = { info: "warn", warning: "warn", critical: "bad" };
const FORMATS = {
  seconds: (value) => formatDuration(value * 1000),
  share: (value) => formatNumber(value, { style: "percent", maximumFractionDigits: 1 }),
  tokens: (value) => formatNumber(value, { maximumFractionDigits: 0 }),
  score: (value) => formatNumber(value, { maximumFractionDigits: 3 }),
};

export function page() {
  const polling = createPolling(() => get("/admin/drift"), INTERVAL_MS);
  // A region of its own, so that screen readers announce only changes.
  const summary = computed(() => getSummary(polling.value.value));
  return adminFrame(
    "drift",
    null,
    html.p({ class: "faint" }, t("driftText")),
    html.p({ role: "status" }, () => summary.value),
    html.div({ class: "page-body drift" }, () => {
      if (polling.error.value && !polling.value.value) return errorState(polling.error.value, polling.reload);
      return polling.value.value ? [polling.error.value && errorState(polling.error.value), ...driftView(polling.value.value)] : skeleton(8);
    }),
  );
}

function getSummary(drift) {
  if (drift === null || isLearning(drift)) return "";
  const count = drift.series.filter(({ severity }) => severity !== null).length;
  return count ? t("deviationCount", count) : t("noDeviation");
}

const isLearning = ({ series }) => series.every(({ expected }) => expected === null);

function driftView(drift) {
  const { series, findings } = drift;
  const charts = series.filter(({ hours }) => hours.length > 1).map(chart);
  return [
    isLearning(drift) && learningState(series),
    series.some(({ value }) => value !== null) && dataTable({ label: t("driftFigures"), columns: getColumns(), items: series }),
    charts.length > 0 && html.section({ class: "details-section" }, html.h2(t("lastTwoDays")), html.div({ class: "charts" }, charts)),
    !isLearning(drift) && findingSection(findings, new Map(series.map(({ name, unit }) => [name, unit]))),
  ];
}

/** The first series that has enough hours ends the learning. */
function learningState(series) {
  const missing = Math.min(...series.map(({ missing_hours: hours }) => hours ?? 0));
  return emptyState([html.strong(t("learningTitle")), " ", getMissingText(missing)]);
}

const getMissingText = (hours) => (hours ? t("missingHours", hours) : t("nextHourCompared"));

function getColumns() {
  return [
    { label: t("figure"), render: ({ name }) => html.strong(getName(name)) },
    { label: t("observed"), className: "end number", render: ({ unit, value }) => formatValue(unit, value) },
    { label: t("usual"), className: "end number", render: ({ unit, expected }) => formatValue(unit, expected) },
    { label: t("difference"), className: "end number", render: getDifference },
    { label: t("since"), render: ({ since }) => (since === null ? "–" : html.time({ datetime: since }, formatDateTime(since))) },
    { label: t("severity"), render: getState },
    { label: t("lastHour"), render: getLastHour },
  ];
}

/** A figure of a newer version of the service has no text. */
function getName(name) {
  const key = `driftFigure_${name}`;
  return hasText(key) ? t(key) : name.replaceAll("_", " ");
}

const formatValue = (unit, value) => (value === null ? "–" : (FORMATS[unit] ?? formatNumber)(value));

const formatChange = (change) => formatNumber(change, { style: "percent", maximumFractionDigits: 0, signDisplay: "exceptZero" });

function getDifference({ change, score }) {
  if (score === null) return "–";
  const deviations = html.span({ class: "faint" }, t("deviationScore", formatNumber(score, { maximumFractionDigits: 1, signDisplay: "exceptZero" })));
  return change === null ? deviations : [formatChange(change), " ", deviations];
}

function getState({ status, severity, missing_hours: missing }) {
  if (severity !== null) return html.span({ class: `status ${TONES[severity]}` }, t(`driftSeverity_${severity}`));
  const state = html.span({ class: `status ${status === "normal" ? "good" : "faint"}` }, t(`driftState_${status}`));
  return missing === null ? state : [state, html.div({ class: "faint" }, getMissingText(missing))];
}

function getLastHour({ hour, window_hours: hours, requests }) {
  if (hour === null) return "–";
  const notes = [hours > 1 && t("hoursPooled", hours), t("requestCount", requests)].filter(Boolean);
  return [html.time({ datetime: hour, title: formatDateTime(hour) }, formatRelativeTime(hour)), html.div({ class: "faint" }, notes.join(", "))];
}

/** The hours up to the latest one; an hour without requests is a gap. */
function chart({ name, unit, hours }) {
  const byTime = new Map(hours.map((each) => [Date.parse(each.hour), each]));
  const last = Math.max(...byTime.keys());
  const times = Array.from({ length: CHART_HOURS }, (_, index) => last - (CHART_HOURS - 1 - index) * HOUR_MS);
  // The scale of shares is in per cent.
  const factor = unit === "share" ? 100 : 1;
  const read = (field) => times.map((time) => byTime.get(time)?.[field] ?? null).map((value) => value === null ? null : value * factor);
  return renderChart({
    type: "lines",
    title: getName(name),
    labels: times.map((time) => formatTime(time)),
    series: [{ name: t("observed"), values: read("value"), tone: 1 }, { name: t("usual"), values: read("expected"), tone: 3 }],
    format: (value) => formatValue(unit, value / factor),
  });
}

function findingSection(findings, units) {
  const columns = [
    { label: t("foundAt"), render: ({ found_at: time }) => html.time({ datetime: time }, formatDateTime(time)) },
    { label: t("figure"), render: ({ series }) => getName(series) },
    { label: t("findingKind"), render: ({ kind }) => t(`driftKind_${kind}`) },
    { label: t("observed"), className: "end number", render: ({ series, value }) => formatValue(units.get(series), value) },
    { label: t("usual"), className: "end number", render: ({ series, expected }) => formatValue(units.get(series), expected) },
    { label: t("difference"), className: "end number", render: ({ change }) => (change === null ? "–" : formatChange(change)) },
  ];
  return html.section({ class: "details-section" }, html.h2(t("driftFindings")), findings.length ? dataTable({ label: t("driftFindings"), columns, items: findings }) : html.p({ class: "faint" }, t("noFindings")));
}
