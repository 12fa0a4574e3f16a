// Statistics of chat by day and channel, and how long messages are kept.

import * as api from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatDate, formatDuration, formatNumber, formatPercent, formatShortDate, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { route, updateQuery } from "../lib/router.js";
import { can } from "../model/session.js";
import { renderChart } from "../ui/chart.js";
import { openFormDialog } from "../ui/form_dialog.js";
import { showNotice } from "../ui/notice.js";
import { asyncContent } from "../ui/states.js";
import { dataTable } from "../ui/table.js";
import { adminFrame } from "./admin_frame.js";
import { CHANNELS, getChannelName } from "./chat_channels.js";
import { createPeriod, periodButtons } from "./period_buttons.js";

export function page() {
  const days = createPeriod();
  const named = route.peek().query.get("channel");
  const channel = signal(CHANNELS.includes(named) ? named : "");
  const content = html.div({ class: "overview" });
  effect(() => {
    const parameters = { days: days.value, channel: channel.value };
    replaceChildren(content, asyncContent(() => api.get("/admin/chat/stats", parameters), statsView, { lines: 8, className: "overview" }));
  });
  return adminFrame("chatStats", periodButtons(days), channelSelect(channel), content, can("chat:manage") && retentionSection());
}

function channelSelect(channel) {
  const select = (event) => {
    channel.value = event.currentTarget.value;
    updateQuery({ channel: channel.value });
  };
  const options = ["", ...CHANNELS].map((name) => html.option({ value: name, selected: name === channel.peek() }, name ? getChannelName(name) : t("historyAllChannels")));
  return html.div({ class: "filter-bar" }, html.label({ class: "compact-field" }, html.span(t("historyChannel")), html.select({ class: "input", onchange: select }, options)));
}

function statsView(stats) {
  const channels = Object.entries(stats.channels).map(([name, figures]) => ({ name, ...figures }));
  return [
    html.dl({ class: "totals" }, getTotals(stats).map(([label, value]) => html.div(html.dt(t(label)), html.dd(value)))),
    html.div({ class: "charts" }, getCharts(stats.days).map((chart) => renderChart(chart))),
    channels.length > 1 && html.section({ class: "details-section" }, html.h2(t("byChannel")), channelTable(channels)),
  ];
}

const showDuration = (seconds) => (seconds === null ? "–" : formatDuration(seconds * 1000));
const showRate = (rate) => (rate === null ? "–" : formatPercent(rate));

function getTotals({ totals, waiting_answers: waiting }) {
  return [
    ["activeUsers", formatNumber(totals.active_users)],
    ["historyConversations", formatNumber(totals.conversations_opened)],
    ["completionRate", showRate(totals.completion_rate)],
    ["handovers", formatNumber(totals.handovers)],
    ["firstResponse", showDuration(totals.first_response.median_seconds)],
    ["response", showDuration(totals.response.median_seconds)],
    ["notDelivered", formatNumber(totals.failed)],
    ["waitingAnswers", formatNumber(waiting)],
  ];
}

function getCharts(days) {
  const labels = days.map(({ date }) => formatShortDate(date));
  const series = (name, read, tone) => ({ name: t(name), values: days.map((day) => read(day)), tone });
  return [
    { title: t("activeUsers"), labels, series: [series("activeUsers", (day) => day.active_users, 1)] },
    {
      type: "lines",
      title: t("historyConversations"),
      labels,
      series: [series("opened", (day) => day.conversations_opened, 1), series("closed", (day) => day.conversations_closed, 2), series("handovers", (day) => day.handovers, 3)],
    },
    { title: t("messages"), labels, series: [series("receivedMessages", (day) => day.messages_in, 1), series("sentMessages", (day) => day.messages_out, 2)] },
    {
      type: "lines",
      title: t("responseTime"),
      labels,
      format: showDuration,
      series: [series("median", (day) => day.response.median_seconds, 1), series("slowest", (day) => day.response.p95_seconds, 4)],
    },
  ];
}

function channelTable(items) {
  const amount = (key, read) => ({ label: t(key), className: "end number", render: (item) => read(item) });
  const columns = [
    { label: t("historyChannel"), render: ({ name }) => getChannelName(name) },
    amount("activeUsers", (item) => formatNumber(item.active_users)),
    amount("historyConversations", (item) => formatNumber(item.conversations_opened)),
    amount("completionRate", (item) => showRate(item.completion_rate)),
    amount("handovers", (item) => formatNumber(item.handovers)),
    amount("firstResponse", (item) => showDuration(item.first_response.median_seconds)),
    amount("receivedMessages", (item) => formatNumber(item.messages_in)),
    amount("sentMessages", (item) => formatNumber(item.messages_out)),
    amount("notDelivered", (item) => formatNumber(item.failed)),
  ];
  return dataTable({ label: t("byChannel"), columns, items });
}

function retentionSection() {
  const content = html.div();
  const load = () => replaceChildren(content, asyncContent(() => api.get("/admin/chat/retention"), (retention) => retentionView(retention, load)));
  load();
  return html.section({ class: "details-section" }, html.h2(t("retention")), content);
}

function retentionView({ days, kept_from: keptFrom }, reload) {
  const change = async () => {
    if (await changeRetention(days)) {
      showNotice(t("retentionSaved"));
      reload();
    }
  };
  return html.div(
    { class: "retention" },
    html.p(days === null ? t("keptForever") : t("keptForDays", days)),
    keptFrom && html.p({ class: "faint" }, t("deletedBefore", formatDate(keptFrom))),
    html.button({ type: "button", class: "button", onclick: change }, t("changeRetention")),
  );
}

function changeRetention(days) {
  return openFormDialog({
    title: t("changeRetention"),
    text: t("retentionText"),
    fields: [{ name: "days", label: t("retentionDays"), type: "number", value: days === null ? "" : String(days), hint: t("retentionHint") }],
    submit: async (values) => api.put("/admin/chat/retention", { days: values.days === "" ? null : Number(values.days) }),
  });
}
