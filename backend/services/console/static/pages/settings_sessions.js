// Devices that are signed in.

import * as api from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatDateTime, formatRelativeTime, hasText, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { signOut } from "../model/session.js";
import { confirmAction } from "../ui/dialog.js";
import { reportErrors } from "../ui/notice.js";
import { pagedTable } from "../ui/table.js";

const BROWSERS = [["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]];
const SYSTEMS = [["Android", "Android"], ["iPhone", "iOS"], ["iPad", "iPadOS"], ["Windows", "Windows"], ["Mac OS X", "macOS"], ["Linux", "Linux"]];

export function sessionSection() {
  const version = signal(0);
  const reload = () => version.update((value) => value + 1);
  const body = html.div({ class: "page-body" });
  effect(() => {
    version.value;
    replaceChildren(body, pagedTable({ label: t("sessions"), columns: getColumns(reload), getPage: (cursor) => api.get("/auth/me/sessions", { limit: 20, cursor }), empty: t("nothingFound") }));
  });
  return [body, html.div(html.button({ type: "button", class: "button danger", onclick: endAll }, t("signOutEverywhere")))];
}

function getColumns(reload) {
  return [
    { label: t("device"), render: ({ user_agent: agent, current }) => html.div(html.strong({ title: agent }, describeDevice(agent)), current && html.span({ class: "tag" }, t("thisDevice"))) },
    { label: t("address"), render: ({ address }) => html.span({ class: "number" }, address) },
    { label: t("signInMethod"), render: ({ method }) => (hasText(`method_${method}`) ? t(`method_${method}`) : method) },
    { label: t("lastUsedAt"), render: ({ last_used_at: time }) => html.time({ datetime: time, title: formatDateTime(time) }, formatRelativeTime(time)) },
    { render: (session) => !session.current && html.button({ type: "button", class: "link-button danger", "aria-label": t("endSession", describeDevice(session.user_agent)), onclick: () => endSession(session, reload) }, t("signOutDevice")) },
  ];
}

/** Return "Firefox, Linux" for a known user agent, else its first words. */
function describeDevice(agent) {
  const find = (names) => names.find(([part]) => agent.includes(part))?.[1];
  const names = [find(BROWSERS), find(SYSTEMS)].filter(Boolean);
  return names.length ? names.join(", ") : agent.slice(0, 40) || t("unknownDevice");
}

async function endSession({ id, user_agent: agent }, reload) {
  const isConfirmed = await confirmAction({ title: t("endSession", describeDevice(agent)), action: t("signOutDevice"), isDanger: true });
  if (!isConfirmed) return;
  await reportErrors(api.remove(`/auth/me/sessions/${id}`));
  reload();
}

async function endAll() {
  const isConfirmed = await confirmAction({ title: t("signOutEverywhere"), text: t("signOutEverywhereText"), action: t("signOut"), isDanger: true });
  if (isConfirmed) await reportErrors(signOut({ everywhere: true }));
}
