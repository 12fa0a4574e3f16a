// One package: facts, predicted arrival, timeline of events, findings and investigations.

import { html, replaceChildren } from "../lib/dom.js";
import { formatDateTime, formatNumber, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { consolePath, navigate } from "../lib/router.js";
import { writeDraft } from "../model/drafts.js";
import { createThrottle, followTopics } from "../model/live.js";
import * as model from "../model/packages.js";
import { can } from "../model/session.js";
import { icon } from "../ui/icon.js";
import { showNotice } from "../ui/notice.js";
import { asyncContent } from "../ui/states.js";
import { arrivalBand } from "./package_arrival.js";
import { addEventDialog, deleteShownPackage, editPackageDialog } from "./package_forms.js";
import { investigationSection } from "./package_investigations.js";
import { arrivalText, getCarrierName, statusChips } from "./package_labels.js";
import { packageTimeline } from "./package_timeline.js";
import { laneText } from "./package_table.js";

const REFRESH_MS = 1000;

/** @param {{id: string}} parameters */
export function page({ id }) {
  const load = async () => {
    const [shown, events, investigations] = await Promise.all([model.getPackage(id), model.getEvents(id), model.getInvestigations(id)]);
    return { shown, events, investigations };
  };
  return html.div({ class: "page-frame" }, asyncContent(load, (loaded) => packageView(id, loaded, load)));
}

function packageView(id, loaded, load) {
  const shown = signal(loaded.shown);
  const events = signal(loaded.events);
  const investigations = signal(loaded.investigations);
  const reload = async () => {
    try {
      const next = await load();
      shown.value = next.shown;
      if (getVersion(next.events) !== getVersion(events.peek())) events.value = next.events;
      const merged = mergeById(next.investigations, investigations.peek());
      if (getVersion(merged) !== getVersion(investigations.peek())) investigations.value = merged;
    } catch (error) {
      if (error.status === 404) showDeleted();
    }
  };
  followPackage(id, reload);
  const head = html.div({ class: "details" });
  effect(() => replaceChildren(head, [header(shown.value, reload), facts(shown.value)]));
  const arrival = html.div();
  effect(() => replaceChildren(arrival, arrivalBand(shown.value)));
  const timeline = html.div();
  effect(() => replaceChildren(timeline, packageTimeline(events.value)));
  return [head, arrival, investigationSection({ id, investigations, events }), timeline];
}

const getVersion = (items) => items.map(({ id, state }) => `${id} ${state ?? ""}`).join();

/** Add to *loaded* the investigations that were completed meanwhile, newest first. */
function mergeById(loaded, shown) {
  const ids = new Set(loaded.map(({ id }) => id));
  return [...loaded, ...shown.filter(({ id }) => !ids.has(id))].sort((a, b) => new Date(b.created_at) - new Date(a.created_at));
}

function followPackage(id, reload) {
  const refresh = createThrottle(reload, REFRESH_MS);
  followTopics([`packages:${id}`], {
    // What was loaded before the subscription may lack a change.
    onReady: refresh,
    onEvent: ({ type }) => (type === "packages.deleted" ? showDeleted() : refresh()),
  });
}

function showDeleted() {
  showNotice(t("packageWasDeleted"));
  navigate("/packages", { replace: true });
}

function header(shown, reload) {
  const button = (key, name, onclick, className = "button") => html.button({ type: "button", class: className, onclick }, icon(name), t(key));
  const change = async (dialog) => {
    const changed = await dialog(shown);
    if (changed) await reload();
  };
  return html.header(
    { class: "page-header details-header" },
    html.a({ class: "back-link", href: consolePath("/packages") }, icon("arrow-left"), t("packages")),
    html.h1({ class: "title number", translate: "no" }, shown.tracking_number),
    statusChips(shown),
    html.div(
      { class: "actions" },
      can("agent:query") && button("askWhy", "chat", () => askAgent(shown)),
      can("packages:write") && [
        button("addEvent", "plus", () => change(addEventDialog)),
        button("edit", "edit", () => change(editPackageDialog)),
        button("delete", "trash", () => deleteShownPackage(shown), "button danger"),
      ],
    ),
  );
}

/** Open a new conversation with a question about the package as its draft. */
function askAgent({ tracking_number: number, late, status }) {
  const question = late ? t("questionWhyLate", number) : status === "exception" ? t("questionWhatWrong", number) : t("questionWhen", number);
  writeDraft(null, question);
  navigate("/");
}

function facts(shown) {
  const time = (value) => (value ? html.time({ datetime: value }, formatDateTime(value)) : "–");
  const rows = [
    [t("carrier"), getCarrierName(shown.carrier)],
    [t("arrival"), arrivalText(shown)],
    [t("lane"), laneText(shown.origin, shown.destination)],
    [t("promisedAt"), time(shown.promised_at)],
    [t("shippedAt"), time(shown.shipped_at)],
    [t("reference"), shown.reference ?? "–"],
    [t("service"), shown.service ?? "–"],
    [t("weight"), shown.weight_g === null ? "–" : formatNumber(shown.weight_g / 1000, { style: "unit", unit: "kilogram", maximumFractionDigits: 3 })],
    [t("packageId"), html.code(shown.id)],
  ];
  const metadata = Object.entries(shown.metadata).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]);
  return [
    html.dl({ class: "facts" }, [...rows, ...metadata].map(([name, value]) => html.div(html.dt({ dir: "auto" }, name), html.dd({ dir: "auto" }, value)))),
    shown.tags.length > 0 && html.p({ class: "tags" }, html.span({ class: "visually-hidden" }, `${t("tags")}: `), shown.tags.map((tag) => html.a({ class: "tag", href: `${consolePath("/packages")}?tag=${encodeURIComponent(tag)}`, dir: "auto" }, tag))),
  ];
}
