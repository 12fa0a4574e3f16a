// The predicted arrival: quantiles against the promised time as a drawing with a text, and the
// probability of lateness with its basis.

import { html, svg } from "../lib/dom.js";
import { formatDateTime, formatNumber, formatPercent, formatShortDate, t } from "../lib/i18n.js";
import { CLOSED } from "../model/packages.js";
import { icon } from "../ui/icon.js";
import { formatHours, getGroupName, hoursBetween } from "./package_labels.js";

const WIDTH = 640;
const HEIGHT = 92;
const MARGIN = 20;
const BAND_TOP = 30;
const BAND_HEIGHT = 24;
const TICKS = 4;
const MIN_LABEL_DISTANCE = 90;
// From this probability on, lateness is likely.
const LIKELY = 0.5;

/** Return the section of the arrival, or null if there is nothing to say about it. */
export function arrivalBand({ eta, promised_at: promised, delivered_at: delivered, status }) {
  const isOpen = !CLOSED.has(status);
  if (!eta && !promised) return null;
  return html.section(
    { class: "details-section arrival", "aria-labelledby": "arrival-title" },
    html.h2({ id: "arrival-title" }, t("predictedArrival")),
    !eta && isOpen && html.p({ class: "faint" }, t("noPrediction")),
    drawing({ eta, promised, delivered, now: isOpen ? new Date().toISOString() : null }),
    quantiles({ eta, promised, delivered }),
    eta && lateness(eta),
  );
}

function drawing({ eta, promised, delivered, now }) {
  const times = [eta?.p10, eta?.p50, eta?.p90, promised, delivered, now].filter(Boolean).map((time) => new Date(time).getTime());
  const first = Math.min(...times);
  const span = Math.max(Math.max(...times) - first, 3_600_000);
  const x = (time) => MARGIN + ((new Date(time).getTime() - first) / span) * (WIDTH - 2 * MARGIN);
  const marks = [promised && ["planned", promised, t("promisedShort")], delivered && ["delivered", delivered, t("status_delivered")], now && ["now", now, t("now")]].filter(Boolean);
  return html.div(
    { class: "arrival-drawing" },
    svg.svg(
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": describe({ eta, promised, delivered }) },
      axis(first, span),
      eta && [
        svg.rect({ class: "arrival-band", x: x(eta.p10), y: BAND_TOP, width: Math.max(2, x(eta.p90) - x(eta.p10)), height: BAND_HEIGHT, rx: 4 }),
        svg.line({ class: "arrival-median", x1: x(eta.p50), x2: x(eta.p50), y1: BAND_TOP - 2, y2: BAND_TOP + BAND_HEIGHT + 2 }),
      ],
      markLabels(marks.map(([kind, time, label]) => ({ kind, at: x(time), label }))),
    ),
  );
}

/** Lines with their names above; names that would overlap are left out, the list below has them. */
function markLabels(marks) {
  let last = -Infinity;
  return marks
    .toSorted((a, b) => a.at - b.at)
    .map(({ kind, at, label }) => {
      const isShown = at - last >= MIN_LABEL_DISTANCE;
      if (isShown) last = at;
      const anchor = at < 60 ? "start" : at > WIDTH - 60 ? "end" : "middle";
      return [svg.line({ class: `arrival-mark ${kind}`, x1: at, x2: at, y1: 20, y2: BAND_TOP + BAND_HEIGHT + 8 }), isShown && svg.text({ class: "arrival-label", x: at, y: 14, "text-anchor": anchor }, label)];
    });
}

function axis(first, span) {
  const y = BAND_TOP + BAND_HEIGHT + 8;
  const ticks = Array.from({ length: TICKS + 1 }, (_, index) => {
    const at = MARGIN + (index / TICKS) * (WIDTH - 2 * MARGIN);
    const time = first + (index / TICKS) * span;
    const anchor = index === 0 ? "start" : index === TICKS ? "end" : "middle";
    const label = span > 3 * 86_400_000 ? formatShortDate(time) : formatTick(time);
    return [svg.line({ class: "arrival-axis", x1: at, x2: at, y1: y, y2: y + 5 }), svg.text({ class: "arrival-tick", x: index === 0 ? 0 : index === TICKS ? WIDTH : at, y: y + 20, "text-anchor": anchor }, label)];
  });
  return [svg.line({ class: "arrival-axis", x1: MARGIN, x2: WIDTH - MARGIN, y1: y, y2: y }), ticks];
}

function formatTick(time) {
  const date = new Date(time);
  return `${formatShortDate(time)} ${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;
}

/** Return the drawing as a sentence. */
function describe({ eta, promised, delivered }) {
  const parts = [];
  if (eta) parts.push(t("arrivalSentence", formatDateTime(eta.p50), formatDateTime(eta.p10), formatDateTime(eta.p90)));
  if (promised) parts.push(t("promisedSentence", formatDateTime(promised)));
  if (delivered) parts.push(t("deliveredSentence", formatDateTime(delivered)));
  return parts.join(" ");
}

function quantiles({ eta, promised, delivered }) {
  const difference = (time) => {
    if (!promised || !time) return "";
    const hours = hoursBetween(promised, time);
    return ` (${hours > 0 ? t("afterPromised", formatHours(hours)) : t("beforePromised", formatHours(-hours))})`;
  };
  const row = (key, time, note = "") => time && [t(key), [html.time({ datetime: time }, formatDateTime(time)), html.span({ class: "faint" }, note)]];
  const rows = [
    row("quantile10", eta?.p10, difference(eta?.p10)),
    row("quantile50", eta?.p50, difference(eta?.p50)),
    row("quantile90", eta?.p90, difference(eta?.p90)),
    row("promisedAt", promised),
    row("deliveredAt", delivered, difference(delivered)),
  ].filter(Boolean);
  return html.dl({ class: "facts" }, rows.map(([name, value]) => html.div(html.dt(name), html.dd(value))));
}

function lateness({ late_probability: probability, basis }) {
  const basisText = t("predictionBasis", formatNumber(basis.samples), getGroupName(basis.group));
  if (probability === null) return html.p({ class: "faint" }, basisText);
  const isLikely = probability >= LIKELY;
  return html.div(
    { class: "lateness" },
    html.p(icon(isLikely ? "warning" : "check"), " ", html.strong(t("lateProbability", formatPercent(probability)))),
    html.meter({ min: "0", max: "1", value: probability, class: isLikely ? "bad" : "good", "aria-label": t("lateProbabilityLabel") }),
    html.p({ class: "faint" }, basisText),
  );
}
