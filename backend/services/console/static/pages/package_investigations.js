// Findings and investigations of a package. Each sentence links to the events that it is based on.

import { html, replaceChildren } from "../lib/dom.js";
import { formatDateTime, formatNumber, formatPercent, hasText, t } from "../lib/i18n.js";
import { effect, signal, watchLifetime } from "../lib/reactive.js";
import { consolePath, updateQuery } from "../lib/router.js";
import * as model from "../model/packages.js";
import { icon } from "../ui/icon.js";
import { reportErrors } from "../ui/notice.js";
import { dataTable } from "../ui/table.js";
import { formatHours, getEventName, getGroupName, getPlaceOfKey } from "./package_labels.js";
import { getEventPath, showEvent } from "./package_timeline.js";

const KINDS = ["delay", "anomaly", "prediction", "route"];
const ICONS = { delay: "search", anomaly: "search", prediction: "clock", route: "map" };
// Kinds of findings whose figures are hours.
const DURATIONS = new Set(["slow_step", "stalled", "lost_time"]);
const SEVERITY_ICONS = { info: "info", warning: "warning", critical: "warning" };

/** @param {{id: string, investigations: object, events: object}} options signals of lists */
export function investigationSection({ id, investigations, events }) {
  const isRunning = signal(false);
  const isLeft = watchLifetime();
  const start = async (kind) => {
    isRunning.value = true;
    const found = await reportErrors(model.investigate(id, kind, isLeft));
    isRunning.value = false;
    if (found) investigations.value = [found, ...investigations.peek().filter((each) => each.id !== found.id)];
  };
  const body = html.div({ class: "investigations", "aria-live": "polite" });
  const numbers = () => new Map(events.value.map((event, index) => [event.id, { ...event, number: index + 1 }]));
  effect(() => replaceChildren(body, renderInvestigations(id, investigations.value, numbers())));
  return html.section(
    { class: "details-section", "aria-labelledby": "investigations-title" },
    html.h2({ id: "investigations-title" }, t("investigations")),
    html.div({ class: "inline-form" }, KINDS.map((kind) => html.button({ type: "button", class: "button", disabled: isRunning, onclick: () => start(kind) }, icon(ICONS[kind]), t(`investigate_${kind}`)))),
    body,
  );
}

/** The newest investigation of each kind is open. */
function renderInvestigations(id, investigations, events) {
  if (!investigations.length) return html.p({ class: "faint" }, t("noInvestigations"));
  const seen = new Set();
  return investigations.map((found) => {
    const isNewest = !seen.has(found.kind);
    seen.add(found.kind);
    return investigationView(id, found, events, isNewest);
  });
}

function investigationView(id, { kind, state, findings, figures, text, created_at: created, text_source: source }, events, isOpen) {
  return html.details(
    { class: "investigation", open: isOpen },
    html.summary(html.strong(t(`investigation_${kind}`)), html.time({ class: "faint", datetime: created }, formatDateTime(created)), state !== "done" && html.span({ class: "chip warn" }, t(`work_${state}`))),
    html.div(
      { class: "investigation-text" },
      text.map((sentence) => html.span(html.span({ dir: "auto" }, sentence.text), eventLinks(id, sentence.event_ids, events), " ")),
    ),
    findings.length > 0 && html.ul({ class: "findings", role: "list" }, findings.map((finding) => findingItem(id, finding, events))),
    figures?.steps?.length > 0 && stepTable(id, figures.steps, events),
    figures?.routes?.length > 0 && routeTable(figures.routes),
    html.p({ class: "faint" }, source === "templates" ? t("textFromTemplates") : t("textFromModel", source)),
  );
}

function findingItem(id, { kind, severity, statement, event_ids: ids, evidence }, events) {
  const key = `finding_${kind}`;
  return html.li(
    { class: `finding ${severity}` },
    icon(SEVERITY_ICONS[severity] ?? "info"),
    html.div(
      html.p(html.strong(hasText(key) ? t(key) : kind.replaceAll("_", " ")), " ", html.span({ class: "tag" }, t(`severity_${severity}`))),
      html.p({ dir: "auto" }, statement, eventLinks(id, ids, events)),
      // The table of routes has these figures.
      kind !== "better_route" && evidenceText(kind, evidence),
    ),
  );
}

/** Return the figures of a finding in one line. */
function evidenceText(kind, { value, expected, p95, samples, group }) {
  const show = (each) => (typeof each !== "number" ? String(each) : DURATIONS.has(kind) ? formatHours(each) : formatNumber(each));
  const parts = [
    value !== undefined && value !== null && t("evidenceValue", show(value)),
    expected !== undefined && expected !== null && t("evidenceExpected", show(expected)),
    p95 !== undefined && p95 !== null && t("evidenceP95", show(p95)),
    samples && t("predictionBasis", formatNumber(samples), getGroupName(group ?? "all")),
  ].filter(Boolean);
  return parts.length > 0 && html.p({ class: "faint" }, parts.join(" · "));
}

/** Return links to events, named by their place in the timeline. */
function eventLinks(id, ids, events) {
  const known = [...new Set(ids)].filter((each) => events.has(each));
  return known.map((each) => {
    const { number, code, occurred_at: time } = events.get(each);
    const label = t("eventLink", number, getEventName(code), formatDateTime(time));
    const open = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      updateQuery({ event: each });
      showEvent(each);
    };
    return [" ", html.a({ class: "event-link number", href: consolePath(getEventPath(id, each)), "aria-label": label, title: label, onclick: open }, formatNumber(number))];
  });
}

const probability = (value) => (value === null || value === undefined ? "–" : formatPercent(value));

/** The routes that a package can take, best first. */
function routeTable(routes) {
  const columns = [
    { label: t("investigation_route"), render: ({ places }) => html.span({ dir: "auto" }, places.map(getPlaceOfKey).join(" → ")) },
    { label: t("quantile50"), className: "number", render: ({ p50 }) => formatDateTime(p50) },
    { label: t("quantile90"), className: "number", render: ({ p90 }) => formatDateTime(p90) },
    { label: t("inTime"), className: "number", render: ({ on_time_probability: value }) => probability(value) },
    { label: t("earlierPackages"), className: "number", render: ({ samples }) => formatNumber(samples) },
  ];
  return dataTable({ label: t("routes"), columns, items: routes });
}

function stepTable(id, steps, events) {
  const columns = [
    { label: t("step"), render: ({ step, event_ids: ids }) => [step.split(">").map(getEventName).join(" → "), eventLinks(id, ids, events)] },
    { label: t("duration"), className: "number", render: ({ hours }) => formatHours(hours) },
    { label: t("usualDuration"), className: "number", render: ({ usual_hours: usual }) => (usual === null ? "–" : formatHours(usual)) },
    { label: t("lateBefore"), className: "number", render: ({ late_probability_before: value }) => probability(value) },
    { label: t("lateAfter"), className: "number", render: ({ late_probability_after: value }) => probability(value) },
  ];
  return dataTable({ label: t("steps"), columns, items: steps });
}
