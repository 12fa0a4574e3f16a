// Charts as SVG, each with a visually hidden table of the same values. A value of null is a gap.
//
//   renderChart({ type: "columns" | "lines", title, labels, series: [{ name, values, tone? }] })
//   parseChart(json)     the same object from untrusted text, or null
//
// Columns are stacked. `tone` 1–4 selects the colour; the default is the position in the list.

import { html, svg } from "../lib/dom.js";
import { formatNumber, t } from "../lib/i18n.js";

const WIDTH = 640;
// The numbers of the scale are beside the plot.
const PLOT_WIDTH = 596;
const HEIGHT = 200;
const TOP = 16;
const BOTTOM = 24;
const PLOT = HEIGHT - TOP - BOTTOM;
const MAX_LABELS = 400;
const MAX_SERIES = 4;
const STEPS = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];

/** @typedef {{name: string, values: (number | null)[], tone?: number}} Series */

/**
 * @param {object} chart
 * @param {"columns" | "lines"} [chart.type]
 * @param {string} chart.title
 * @param {string[]} chart.labels one per value
 * @param {Series[]} chart.series at most four
 * @param {(value: number) => string} [chart.format]
 */
export function renderChart({ type = "columns", title, labels, series, format = formatNumber }) {
  const isStacked = type === "columns";
  const totals = labels.map((_, index) => sumAt(series, index));
  const peaks = isStacked ? totals : series.flatMap(({ values }) => values);
  const top = niceMaximum(Math.max(0, ...peaks.map((value) => value ?? 0)));
  const readout = html.p({ class: "chart-readout number" });
  const showIndex = (index) => readout.replaceChildren(describe({ labels, totals, series, format, isStacked }, index));
  showIndex(null);
  const draw = isStacked ? drawColumns : drawLines;
  return html.figure(
    { class: "chart", dir: "auto" },
    html.figcaption({}, html.strong({ class: "chart-title" }, title), readout),
    svg.svg(
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
      drawGrid(top),
      draw({ labels, series, top }),
      drawScale(top),
      drawLabels(labels),
      drawTargets(labels, showIndex),
    ),
    series.length > 1 && html.ul({ class: "chart-legend", "aria-hidden": "true" }, series.map(legendItem)),
    valueTable(title, labels, series, format),
  );
}

const toneOf = ({ tone }, index) => `series-${tone ?? index + 1}`;

const legendItem = (each, index) => html.li({}, html.i({ class: toneOf(each, index) }), each.name);

function sumAt(series, index) {
  const known = series.map(({ values }) => values[index]).filter((value) => value !== null && value !== undefined);
  return known.length ? known.reduce((sum, value) => sum + value, 0) : null;
}

function describe({ labels, totals, series, format, isStacked }, index) {
  const isTotal = index === null;
  if (isTotal && !isStacked) return "";
  const value = isTotal ? totals.reduce((sum, each) => sum + (each ?? 0), 0) : totals[index];
  const shown = isStacked || series.length === 1 ? formatValue(value, format) : series.map(({ values }) => formatValue(values[index], format)).join(" · ");
  return isTotal ? shown : `${labels[index]} · ${shown}`;
}

const formatValue = (value, format) => (value === null || value === undefined ? "–" : format(value));

/** Return a round number that is at least *value*. */
function niceMaximum(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return STEPS.find((step) => step * power >= value * 0.9999) * power;
}

const yOf = (value, top) => TOP + PLOT * (1 - value / top);

function drawGrid(top) {
  return [0, 0.5, 1].map((share) => {
    const y = yOf(share * top, top);
    return svg.line({ class: "chart-grid", x1: 0, x2: PLOT_WIDTH, y1: y, y2: y });
  });
}

function drawScale(top) {
  const marks = top / 2 < 1 ? [top] : [top / 2, top];
  return marks.map((value) => svg.text({ class: "chart-scale", x: WIDTH, y: yOf(value, top) + 4, "text-anchor": "end" }, formatNumber(value, { notation: "compact", maximumSignificantDigits: 2 })));
}

function drawColumns({ labels, series, top }) {
  const step = PLOT_WIDTH / labels.length;
  const width = Math.max(1, step * 0.74);
  const columns = [];
  for (let index = 0; index < labels.length; index++) {
    let base = 0;
    for (const [place, each] of series.entries()) {
      const value = each.values[index];
      if (!(value > 0)) continue;
      const y = yOf(base + value, top);
      const height = yOf(base, top) - y;
      const x = index * step + (step - width) / 2;
      columns.push(svg.rect({ class: toneOf(each, place), x, y, width, height, rx: Math.min(2.5, width / 4, height / 2) }));
      base += value;
    }
  }
  return columns;
}

function drawLines({ labels, series, top }) {
  const step = PLOT_WIDTH / labels.length;
  return series.map((each, place) => {
    const path = each.values
      .map((value, index) => {
        if (value === null || value === undefined) return "";
        const hasNeighbour = index > 0 && each.values[index - 1] !== null;
        return `${hasNeighbour ? "L" : "M"}${index * step + step / 2} ${yOf(value, top)}h0.01`;
      })
      .join("");
    return svg.path({ class: `chart-line ${toneOf(each, place)}`, d: path });
  });
}

function drawLabels(labels) {
  const step = PLOT_WIDTH / labels.length;
  const every = Math.ceil(labels.length / 6);
  return labels.map((label, index) => {
    if (index % every !== 0) return null;
    const anchor = labels.length > 6 && index === 0 ? "start" : "middle";
    const x = anchor === "start" ? 0 : index * step + step / 2;
    return svg.text({ class: "chart-label", x, y: HEIGHT - 6, "text-anchor": anchor }, label.slice(0, 24));
  });
}

function drawTargets(labels, showIndex) {
  const step = PLOT_WIDTH / labels.length;
  return labels.map((_, index) =>
    svg.rect({
      class: "chart-target",
      x: index * step,
      y: 0,
      width: step,
      height: HEIGHT - BOTTOM,
      onpointerenter: () => showIndex(index),
      onpointerleave: () => showIndex(null),
    }),
  );
}

function valueTable(title, labels, series, format) {
  return html.div({ class: "visually-hidden" },
    html.table(
    {},
    html.caption({}, title),
    html.thead({}, html.tr({}, html.th({ scope: "col" }, t("chartLabel")), series.map(({ name }) => html.th({ scope: "col" }, name)))),
    html.tbody({}, labels.map((label, index) =>
      html.tr({}, html.th({ scope: "row" }, label), series.map(({ values }) => html.td({}, formatValue(values[index], format)))))),
  ));
}

/** Read the chart of a code block `chart`. Returns null unless it has the expected form and size. */
export function parseChart(text) {
  let source;
  try {
    source = JSON.parse(text);
  } catch {
    return null;
  }
  const { type = "columns", title = "", labels, series } = source ?? {};
  if (!["columns", "lines"].includes(type) || typeof title !== "string") return null;
  if (!isList(labels, MAX_LABELS) || !isList(series, MAX_SERIES)) return null;
  if (!labels.every((label) => ["string", "number"].includes(typeof label))) return null;
  const isSeries = (each) => typeof each?.name === "string" && Array.isArray(each.values) && each.values.length === labels.length && each.values.every(isValue);
  if (!series.every(isSeries)) return null;
  return { type, title, labels: labels.map(String), series: series.map(({ name, values }) => ({ name, values })) };
}

const isList = (value, maximum) => Array.isArray(value) && value.length > 0 && value.length <= maximum;

// Stacked columns have no place for negative values.
const isValue = (value) => value === null || (Number.isFinite(value) && value >= 0);
