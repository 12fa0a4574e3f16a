// A dependency of a service with its state, for the pages of health and of the ingestion queue.

import { html } from "../lib/dom.js";
import { formatNumber, hasText, t } from "../lib/i18n.js";

/** Return a row for an entry of `dependencies` in GET /{service}/health/detailed. */
export function dependencyRow([name, { status, latency_ms: latency }]) {
  const key = `dependency_${name}`;
  return html.li({ class: "health-row" }, html.span(hasText(key) ? t(key) : name), statusMark(status), html.span({ class: "faint number" }, latency === null ? "–" : formatMilliseconds(latency)));
}

export function statusMark(status) {
  const key = `health_${status}`;
  return html.span({ class: `status ${status === "healthy" ? "good" : "bad"}` }, hasText(key) ? t(key) : status);
}

export const formatMilliseconds = (value) => formatNumber(value, { style: "unit", unit: "millisecond", unitDisplay: "short", maximumFractionDigits: value < 10 ? 1 : 0 });
