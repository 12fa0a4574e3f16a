// The figures of one user: totals and charts by day.

import { ApiError, get } from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatNumber, formatRelativeTime, formatShortDate, t } from "../lib/i18n.js";
import { effect } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import { renderChart } from "../ui/chart.js";
import { icon } from "../ui/icon.js";
import { asyncContent } from "../ui/states.js";
import { adminFrame } from "./admin_frame.js";
import { createPeriod, periodButtons } from "./period_buttons.js";

export function page({ id }) {
  const days = createPeriod();
  const content = html.div({ class: "overview" });
  effect(() => {
    const parameters = { days: days.value };
    replaceChildren(content, asyncContent(() => loadFigures(id, parameters), figuresView, { lines: 8, className: "overview" }));
  });
  return adminFrame("userFigures", periodButtons(days), html.p(html.a({ href: consolePath("/admin/users") }, t("allUsers"))), content);
}

/** The name is missing while the service auth does not respond. */
async function loadFigures(id, parameters) {
  const path = encodeURIComponent(id);
  const [stats, user] = await Promise.all([get(`/admin/users/${path}/stats`, parameters), get(`/auth/users/${path}`).catch(ignoreUnavailable)]);
  return { ...stats, user };
}

function ignoreUnavailable(error) {
  if (error instanceof ApiError && error.status < 500) throw error;
  return null;
}

function figuresView(stats) {
  const { user, last_activity_at: time } = stats;
  return [
    html.dl(
      { class: "facts" },
      user && html.div(html.dt(t("name")), html.dd({ dir: "auto" }, [user.display_name, user.username, user.email].filter(Boolean).join(" · "))),
      html.div(html.dt(t("lastActivity")), html.dd(show(time, formatRelativeTime))),
    ),
    stats.unavailable.length > 0 && html.p({ class: "warning-box", role: "status" }, icon("warning"), t("statsUnavailable", stats.unavailable.join(", "))),
    html.dl({ class: "totals" }, getTotals(stats).map(([label, value]) => html.div(html.dt(t(label)), html.dd(value)))),
    html.div({ class: "charts" }, getCharts(stats.days).map((chart) => renderChart(chart))),
  ];
}

const show = (value, format = formatNumber) => (value === null || value === undefined ? "–" : format(value));
const showCost = (value) => formatNumber(value, { maximumFractionDigits: 4 });

function getTotals({ totals }) {
  return [
    ["signIns", show(totals.sign_ins)],
    ["historyConversations", show(totals.conversations)],
    ["questions", show(totals.questions)],
    ["tokens", show(totals.tokens?.total)],
    ["historyCost", show(totals.cost, showCost)],
    ["newDocuments", show(totals.documents)],
    ["chatConversations", show(totals.chat_conversations)],
    ["chatMessages", show(totals.chat_messages)],
  ];
}

function getCharts(days) {
  const labels = days.map(({ date }) => formatShortDate(date));
  const series = (name, read, tone) => ({ name: t(name), values: days.map((day) => read(day) ?? null), tone });
  return [
    { title: t("questions"), labels, series: [series("questions", (day) => day.questions, 1)] },
    { title: t("tokens"), labels, series: [series("tokensRead", (day) => day.tokens?.prompt, 2), series("tokensWritten", (day) => day.tokens?.completion, 1)] },
    { title: t("signIns"), labels, series: [series("signIns", (day) => day.sign_ins, 3)] },
    { title: t("chatMessages"), labels, series: [series("chatMessages", (day) => day.chat_messages, 1)] },
    { title: t("newDocuments"), labels, series: [series("newDocuments", (day) => day.documents, 2)] },
  ];
}
