// Overview: eight totals and four charts by day.

import { get } from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatBytes, formatNumber, formatShortDate, t } from "../lib/i18n.js";
import { effect } from "../lib/reactive.js";
import { navigate } from "../lib/router.js";
import { can } from "../model/session.js";
import { renderChart } from "../ui/chart.js";
import { icon } from "../ui/icon.js";
import { asyncContent } from "../ui/states.js";
import { ADMIN_SCREENS, adminFrame } from "./admin_frame.js";
import { createPeriod, periodButtons } from "./period_buttons.js";

export function page() {
  if (!can("system:read")) return redirectToFirst();
  const days = createPeriod();
  const content = html.div({ class: "overview" });
  effect(() => replaceChildren(content, asyncContent(() => get("/admin/stats", { days: days.value }), overview, { lines: 8, className: "overview" })));
  return adminFrame("overview", periodButtons(days), content);
}

/** Without `system:read`, the first screen that the user may open is the start. */
function redirectToFirst() {
  const first = ADMIN_SCREENS.find(([, , permission]) => can(permission));
  queueMicrotask(() => navigate(first[0], { replace: true }));
  return null;
}

function overview(stats) {
  return [
    stats.unavailable.length > 0 && html.p({ class: "warning-box", role: "status" }, icon("warning"), t("statsUnavailable", stats.unavailable.join(", "))),
    html.dl({ class: "totals" }, getTotals(stats).map(([label, value, note]) => html.div(html.dt(t(label)), html.dd({ title: note }, value)))),
    html.div({ class: "charts" }, getCharts(stats.days).map((chart) => renderChart(chart))),
  ];
}

const compact = (value) => (value === null ? "–" : formatNumber(value, { notation: "compact", maximumFractionDigits: 1 }));
const exact = (value) => (value === null ? null : formatNumber(value));

function getTotals({ totals, users, sessions, documents, chunks, tokens, requests, errors }) {
  return [
    ["users", compact(users), exact(users)],
    ["signedIn", compact(sessions), exact(sessions)],
    ["documents", compact(documents), exact(documents)],
    ["chunks", compact(chunks), exact(chunks)],
    ["stored", totals.bytes === null ? "–" : formatBytes(totals.bytes), null],
    ["tokens", compact(tokens), exact(tokens)],
    ["requests", compact(requests), exact(requests)],
    ["errors", compact(errors), exact(errors)],
  ];
}

function getCharts(days) {
  const labels = days.map(({ date }) => formatShortDate(date));
  const series = (name, read, tone) => ({ name: t(name), values: days.map((day) => read(day) ?? null), tone });
  const answered = ({ requests, limited, errors }) => (requests === null ? null : Math.max(0, requests - (limited ?? 0) - (errors ?? 0)));
  return [
    { title: t("requests"), labels, series: [series("answered", answered, 1), series("limited", (day) => day.limited, 3), series("failed", (day) => day.errors, 4)] },
    { title: t("tokens"), labels, series: [series("tokensRead", (day) => day.tokens?.prompt, 2), series("tokensWritten", (day) => day.tokens?.completion, 1)] },
    { title: t("messages"), labels, series: [series("messages", (day) => day.messages, 1)] },
    { title: t("newDocuments"), labels, series: [series("newDocuments", (day) => day.documents, 2)] },
  ];
}
