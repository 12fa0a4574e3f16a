// Usage: tokens of the tenant by day, user and model, and the limits.

import { get } from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatDateTime, formatNumber, formatPercent, formatShortDate, t, translateApiText } from "../lib/i18n.js";
import { effect } from "../lib/reactive.js";
import { can, getTenantName } from "../model/session.js";
import { renderChart } from "../ui/chart.js";
import { asyncContent, emptyState } from "../ui/states.js";
import { dataTable } from "../ui/table.js";
import { adminFrame } from "./admin_frame.js";
import { createPeriod, periodButtons } from "./period_buttons.js";

const DAY_MS = 86_400_000;

export function page() {
  const days = createPeriod();
  const body = html.div({ class: "page-body" });
  effect(() => replaceChildren(body, asyncContent(() => loadUsage(days.value), (usage) => usageView(usage, days.peek()), { className: "page-body" })));
  return adminFrame("usage", periodButtons(days), html.p({ class: "faint" }, t("usageOf", getTenantName())), body, can("system:read") && limitsSection());
}

async function loadUsage(days) {
  const [report, names, prices] = await Promise.all([get("/agent/usage/tenant", { days }), loadUserNames(), loadPrices()]);
  return { ...report, names, prices };
}

/** Prices of a million tokens by model; without the permission to ask there are none. */
async function loadPrices() {
  if (!can("agent:query")) return new Map();
  const { items } = await get("/agent/models").catch(() => ({ items: [] }));
  return new Map(items.filter(({ price }) => price).map(({ id, price }) => [id, price]));
}

async function loadUserNames() {
  const { items } = await get("/auth/users", { limit: 200 }).catch(() => ({ items: [] }));
  return new Map(items.map(({ id, username }) => [id, username]));
}

function usageView({ tenant, resets_at: reset, items, names, prices }, days) {
  return [
    html.dl({ class: "facts" }, quotaFact(tenant), html.div(html.dt(t("resetsAt")), html.dd(formatDateTime(reset)))),
    items.length ? [renderChart(dailyChart(items, days)), section("byUser", sumBy(items, ({ user_id: id }) => names.get(id) ?? id)), section("byModel", sumBy(items, ({ model }) => model), prices)] : emptyState(t("noUsage")),
  ];
}

function quotaFact({ used, limit }) {
  const text = limit === null ? t("tokensUsed", formatNumber(used)) : t("tokensOfLimit", formatNumber(used), formatNumber(limit), formatPercent(used / limit));
  const bar = limit !== null && html.div({ class: `progress${used >= limit ? " full" : ""}`, "aria-hidden": "true" }, html.i({ style: { width: `${Math.min(100, (used / limit) * 100)}%` } }));
  return html.div(html.dt(t("tokensToday")), html.dd(text, bar));
}

/** Every day of the period has a column, also days without usage. */
function dailyChart(items, days) {
  const today = new Date().setUTCHours(0, 0, 0, 0);
  const dates = Array.from({ length: days }, (_, index) => new Date(today - (days - 1 - index) * DAY_MS).toISOString().slice(0, 10));
  const sum = (date, field) => items.filter((item) => item.date === date).reduce((total, item) => total + item[field], 0);
  return {
    title: t("tokens"),
    labels: dates.map((date) => formatShortDate(date)),
    series: [
      { name: t("tokensRead"), values: dates.map((date) => sum(date, "prompt_tokens")), tone: 2 },
      { name: t("tokensWritten"), values: dates.map((date) => sum(date, "completion_tokens")), tone: 1 },
    ],
  };
}

function sumBy(items, getName) {
  const sums = new Map();
  for (const item of items) {
    const name = getName(item);
    const sum = sums.get(name) ?? { name, prompt: 0, completion: 0, total: 0, calls: 0 };
    sum.prompt += item.prompt_tokens;
    sum.completion += item.completion_tokens;
    sum.total += item.total_tokens;
    sum.calls += item.calls;
    sums.set(name, sum);
  }
  return [...sums.values()].sort((a, b) => b.total - a.total);
}

/** Return the cost of the tokens of a model, or null if its price is unknown. */
function getCost({ name, prompt, completion }, prices) {
  const price = prices.get(name);
  return price ? (prompt * price.input + completion * price.output) / 1_000_000 : null;
}

/** Return a table. With *prices* by name, it has a column with the cost if any is known. */
function section(title, items, prices = new Map()) {
  const amount = (key, field) => ({ label: t(key), className: "end number", render: (item) => formatNumber(item[field]) });
  const columns = [{ label: t("name"), render: ({ name }) => html.span({ dir: "auto" }, name) }, amount("calls", "calls"), amount("tokensRead", "prompt"), amount("tokensWritten", "completion"), amount("total", "total")];
  if (items.some((item) => getCost(item, prices) !== null)) columns.push({ label: t("cost"), className: "end number", render: (item) => formatCost(getCost(item, prices)) });
  return html.section({ class: "details-section" }, html.h2(t(title)), dataTable({ label: t(title), columns, items }));
}

const formatCost = (cost) => (cost === null ? "–" : formatNumber(cost, { minimumFractionDigits: 2, maximumFractionDigits: 2 }));

function limitsSection() {
  return html.section({ class: "details-section" }, html.h2(t("limits")), asyncContent(() => get("/admin/limits"), limitsView));
}

/** Show the limits of all services as groups of names and values. */
function limitsView(limits) {
  const items = limits.items ?? [];
  const columns = [
    { label: t("limit"), render: ({ name }) => html.code(name) },
    { label: t("appliesTo"), render: ({ name, scope }) => translateApiText("limits", name, scope) },
    { label: t("value"), className: "end number", render: ({ value }) => (value === null ? t("unlimited") : String(value)) },
  ];
  return dataTable({ label: t("limits"), columns, items });
}
