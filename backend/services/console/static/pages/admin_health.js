// Health of all services and their dependencies, every ten seconds while the page is visible.

import { get } from "../lib/api.js";
import { html } from "../lib/dom.js";
import { formatDateTime, hasText, t } from "../lib/i18n.js";
import { createPolling } from "../model/polling.js";
import { errorState, skeleton } from "../ui/states.js";
import { adminFrame } from "./admin_frame.js";
import { dependencyRow, formatMilliseconds, statusMark } from "./dependency_row.js";

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

function healthView({ status: own, timestamp, version, services, dependencies }, error) {
  const isHealthy = own === "healthy" && !services.some(hasBrokenDependency);
  const status = isHealthy ? "healthy" : "degraded";
  return [
    html.p({ role: "status" }, statusMark(status), " ", t(isHealthy ? "allHealthy" : "notAllHealthy"), " ", html.span({ class: "faint" }, t("checkedAt", formatDateTime(timestamp), version))),
    error && errorState(error),
    html.ul({ class: "health-list" }, serviceCard(getGateway(dependencies)), services.map(serviceCard)),
  ];
}

const hasBrokenDependency = ({ details }) => Object.values(details?.dependencies ?? {}).some(({ status }) => status !== "healthy");

/** The gateway is healthy if it responds. Its latency would be that of the slowest service. */
const getGateway = (dependencies) => ({ name: "gateway", status: "healthy", latency_ms: null, details: { dependencies } });

function serviceCard({ name, status, latency_ms: latency, details }) {
  const key = `service_${name}`;
  return html.li(
    { class: "health-card" },
    html.div({ class: "health-head" }, html.h2(hasText(key) ? t(key) : name), statusMark(status), latency !== null && latency !== undefined && html.span({ class: "faint number" }, formatMilliseconds(latency))),
    details ? html.ul({ class: "plain-list" }, Object.entries(details.dependencies).map(dependencyRow)) : html.p({ class: "faint" }, t("noDetails")),
  );
}
