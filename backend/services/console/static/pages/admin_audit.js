// Audit log: filters in the address, details of a record, export as CSV.

import * as api from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatDateTime, t } from "../lib/i18n.js";
import { computed, effect } from "../lib/reactive.js";
import { route, updateQuery } from "../lib/router.js";
import { toCsv } from "../lib/csv.js";
import { openDialog } from "../ui/dialog.js";
import { downloadText } from "../ui/download.js";
import { icon } from "../ui/icon.js";
import { reportErrors, showNotice } from "../ui/notice.js";
import { pagedTable } from "../ui/table.js";
import { adminFrame } from "./admin_frame.js";

const PAGE_SIZE = 100;
const EXPORT_PAGE_SIZE = 200;
const MAX_EXPORTED = 10_000;
const FILTERS = ["actor", "action", "since", "until"];
const CSV_COLUMNS = ["at", "actor", "actor_id", "action", "outcome", "target", "address", "tenant_id", "request_id", "count", "details"];

export function page() {
  // Equal filters are equal texts, so that only a change of a filter loads the table again.
  const filter = computed(() => JSON.stringify(readFilter(route.value.query)));
  const body = html.div({ class: "page-body" });
  effect(() => {
    const parameters = JSON.parse(filter.value);
    replaceChildren(body, pagedTable({ label: t("audit"), columns: getColumns(), getPage: (cursor) => api.get("/auth/audit", { ...parameters, limit: PAGE_SIZE, cursor }), empty: t("noRecords") }));
  });
  const exportButton = html.button({ type: "button", class: "button", onclick: (event) => exportRecords(event.currentTarget) }, icon("download"), t("exportCsv"));
  return adminFrame("audit", exportButton, filterForm(), body);
}

/** Return the parameters of the request: local times of the address become UTC. */
function readFilter(query) {
  const entries = FILTERS.map((name) => [name, query.get(name) ?? ""]).filter(([, value]) => value);
  return Object.fromEntries(entries.map(([name, value]) => [name, name === "since" || name === "until" ? toUtc(value) : value]));
}

function toUtc(local) {
  const time = new Date(local);
  return Number.isNaN(time.getTime()) ? "" : time.toISOString();
}

function filterForm() {
  const { query } = route.peek();
  const field = (name, label, attributes) =>
    html.label({ class: "compact-field" }, html.span(label), html.input({ class: "input", name, value: query.get(name) ?? "", ...attributes }));
  const submit = (event) => {
    event.preventDefault();
    const { elements } = event.currentTarget;
    updateQuery(Object.fromEntries(FILTERS.map((name) => [name, elements[name].value.trim()])));
  };
  const reset = () => updateQuery(Object.fromEntries(FILTERS.map((name) => [name, null])));
  return html.form(
    { class: "filter-bar", role: "search", "aria-label": t("filterRecords"), onsubmit: submit, onreset: reset },
    field("actor", t("actor"), { maxlength: 254, placeholder: t("actorHint"), autocomplete: "off" }),
    field("action", t("action"), { maxlength: 64, placeholder: "session.sign_in", autocomplete: "off" }),
    field("since", t("since"), { type: "datetime-local" }),
    field("until", t("until"), { type: "datetime-local" }),
    html.button({ class: "button" }, t("applyFilter")),
    html.button({ type: "reset", class: "button plain" }, t("clearFilter")),
  );
}

function getColumns() {
  const filterBy = (name, value) => html.button({ type: "button", class: "link-button", title: t("filterByThis"), onclick: () => applyFilter(name, value) }, value);
  return [
    { label: t("time"), render: ({ at }) => html.time({ datetime: at }, formatDateTime(at)) },
    { label: t("actor"), render: ({ actor, actor_id: id }) => (actor || id ? filterBy("actor", actor ?? id) : "–") },
    { label: t("action"), render: ({ action }) => filterBy("action", action) },
    { label: t("outcome"), render: ({ outcome, count }) => [html.span({ class: `status ${outcome === "success" ? "good" : "bad"}` }, outcome), count > 1 && html.span({ class: "faint" }, ` × ${count}`)] },
    { label: t("target"), render: ({ target }) => html.span({ class: "truncate target", title: target, dir: "auto" }, target ?? "–") },
    { label: t("address"), render: ({ address }) => html.span({ class: "number" }, address || "–") },
    { render: (record) => html.button({ type: "button", class: "link-button", "aria-label": t("recordDetails", record.action), onclick: () => showRecord(record) }, t("details")) },
  ];
}

function applyFilter(name, value) {
  updateQuery({ [name]: value });
  const input = document.querySelector(`.filter-bar [name="${name}"]`);
  if (input) input.value = value;
}

function showRecord(record) {
  const entries = Object.entries(record).filter(([, value]) => value !== null && value !== "");
  openDialog({
    title: record.action,
    className: "wide",
    hasCloseButton: true,
    content: () => html.dl({ class: "facts" }, entries.map(([name, value]) => html.div(html.dt(name), html.dd({ dir: "auto" }, typeof value === "object" ? html.code(JSON.stringify(value)) : String(value))))),
  });
}

async function exportRecords(button) {
  button.disabled = true;
  await reportErrors(downloadRecords());
  button.disabled = false;
}

async function downloadRecords() {
  const records = [];
  for await (const record of api.getAllItems("/auth/audit", { ...readFilter(route.peek().query), limit: EXPORT_PAGE_SIZE })) {
    records.push(record);
    if (records.length === MAX_EXPORTED) break;
  }
  const rows = records.map((record) => CSV_COLUMNS.map((name) => (typeof record[name] === "object" && record[name] ? JSON.stringify(record[name]) : record[name])));
  downloadText(toCsv([CSV_COLUMNS, ...rows]), `audit-${new Date().toISOString().slice(0, 10)}.csv`, "text/csv");
  if (records.length === MAX_EXPORTED) showNotice(t("exportLimited", MAX_EXPORTED));
}
