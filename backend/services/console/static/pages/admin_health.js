// Health of all services and their dependencies, every ten seconds while the page is visible.

import { get } from "../lib/api.js";
import { html } from "../lib/dom.js";
import { formatDateTime, formatNumber, hasText, t } from "../lib/i18n.js";
import { createPolling } from "../model/polling.js";
import { errorState, skeleton } from "../ui/states.js";
import { adminFrame } from "./admin_frame.js";

const INTERVAL_MS = 10_000;

export function page() {
  const polling = createPolling(loadHealth, INTERVAL_MS);
  return adminFrame(
    "health",
    null,
    html.div({ class: "page-body" }, () => {
      if (polling.error.value && !polling.value.value) return errorState(polling.error.value, polling.reload);
      if (!polling.value.value) return skeleton(6);
      return healthView(polling.value.value, polling.error.value);
    }),
  );
}

async function loadHealth() {
  const health = await readHealth();
  const names = Object.keys(health.services);
  const details = await Promise.all(names.map((name) => get(`/${name}/health/detailed`).catch(() => null)));
  return { ...health, services: names.map((name, index) => ({ name, ...health.services[name], details: details[index] })) };
}

/** The gateway responds with 503 and the same body if no service responds. */
async function readHealth() {
  try {
    return await get("/health");
  } catch (error) {
    if (error.problem?.services) return error.problem;
    throw error;
  }
}

function healthView({ status, timestamp, version, services }, error) {
  return [
    html.p({ role: "status" }, statusMark(status), " ", t(status === "healthy" ? "allHealthy" : "notAllHealthy"), " ", html.span({ class: "faint" }, t("checkedAt", formatDateTime(timestamp), version))),
    error && errorState(error),
    html.ul({ class: "health-list" }, services.map(serviceCard)),
  ];
}

function serviceCard({ name, status, latency_ms: latency, details }) {
  const key = `service_${name}`;
  return html.li(
    { class: "health-card" },
    html.div({ class: "health-head" }, html.h2(hasText(key) ? t(key) : name), statusMark(status), latency !== null && latency !== undefined && html.span({ class: "faint number" }, formatMilliseconds(latency))),
    details
      ? html.ul({ class: "plain-list" }, Object.entries(details.dependencies).map(([dependency, state]) => html.li({ class: "health-row" }, html.span(dependency), statusMark(state.status), html.span({ class: "faint number" }, formatMilliseconds(state.latency_ms)))))
      : html.p({ class: "faint" }, t("noDetails")),
  );
}

const formatMilliseconds = (value) => formatNumber(value, { style: "unit", unit: "millisecond", unitDisplay: "short", maximumFractionDigits: value < 10 ? 1 : 0 });

function statusMark(status) {
  const key = `health_${status}`;
  return html.span({ class: `status ${status === "healthy" ? "good" : "bad"}` }, hasText(key) ? t(key) : status);
}
