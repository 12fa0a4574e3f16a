// The events of a package in their order, with places and local times.

import { html } from "../lib/dom.js";
import { formatDateTime, locale, t } from "../lib/i18n.js";
import { effect, onDispose } from "../lib/reactive.js";
import { route } from "../lib/router.js";
import { icon } from "../ui/icon.js";
import { emptyState } from "../ui/states.js";
import { getEventName, getPlaceName, getReason } from "./package_labels.js";

// A time as in RFC 3339, or without an offset.
const TIME = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(?::\d{2}(?:[.,]\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?$/i;
const ICONS = {
  announced: "file", picked_up: "arrow-up", accepted: "check", departed: "right", arrived: "map", customs_held: "shield", customs_released: "shield", out_for_delivery: "right",
  delivery_attempted: "warning", available_for_pickup: "map", delivered: "check", exception: "warning", delayed: "clock", return_started: "arrow-left", returned: "arrow-left",
  cancelled: "close", expired: "clock", lost: "warning", note: "info",
};
const TROUBLES = new Set(["exception", "delayed", "customs_held", "delivery_attempted", "lost"]);
const EVENT_PREFIX = "event-";

/** Return the address of an event on the page of its package. */
export const getEventPath = (packageId, eventId) => `/packages/${encodeURIComponent(packageId)}?event=${encodeURIComponent(eventId)}`;

/** @param {object[]} events */
export function packageTimeline(events) {
  const list = html.ol({ class: "timeline", role: "list" }, events.map(eventItem));
  highlightEvent(list);
  return html.section(
    { class: "details-section", "aria-labelledby": "timeline-title" },
    html.h2({ id: "timeline-title" }, t("timeline")),
    events.length ? list : emptyState(t("noEvents")),
  );
}

/** Mark the event of the address, and show it. */
function highlightEvent(list) {
  let isFirst = true;
  effect(() => {
    const id = route.value.query.get("event");
    for (const item of list.children) item.classList.toggle("highlighted", item.id === `${EVENT_PREFIX}${id}`);
    const timer = id && setTimeout(() => showEvent(id, isFirst), 0);
    isFirst = false;
    onDispose(() => clearTimeout(timer));
  });
}

/** Scroll to the event *id* and give it the focus. */
export function showEvent(id, isSilent = false) {
  const item = document.getElementById(`${EVENT_PREFIX}${id}`);
  if (!item) return;
  item.scrollIntoView({ block: "center" });
  if (!isSilent || document.activeElement === document.body || document.activeElement?.tagName === "H1") item.focus({ preventScroll: true });
}

function eventItem(event) {
  const { id, code, occurred_at: time, location, reason, detail, raw_code: raw, time_basis: basis, source } = event;
  const place = getPlaceName(location);
  const local = formatLocalTime(event.local_time);
  return html.li(
    { class: `timeline-item${TROUBLES.has(code) ? " trouble" : ""}${code === "delivered" ? " done" : ""}`, id: `${EVENT_PREFIX}${id}`, tabindex: "-1" },
    html.span({ class: "timeline-icon" }, icon(ICONS[code] ?? "info")),
    html.div(
      html.p({ class: "timeline-title" }, html.strong(getEventName(code)), reason && html.span({ class: "tag" }, getReason(reason)), place && html.span({ class: "timeline-place", dir: "auto" }, place)),
      html.p({ class: "faint number" }, html.time({ datetime: time }, local ? t("localTime", local) : formatDateTime(time)), local && html.span({ class: "timeline-own" }, t("yourTime", formatDateTime(time))), basis === "assumed" && html.span({ class: "tag" }, t("timeAssumed"))),
      detail && html.p({ dir: "auto" }, detail),
      html.p({ class: "faint timeline-source" }, [raw && t("carrierCode", raw), t("eventSource", source)].filter(Boolean).join(" · ")),
    ),
  );
}

/** Return the time that a carrier wrote, in the format of the user's language, with its offset. */
export function formatLocalTime(text) {
  const match = TIME.exec(text ?? "");
  if (!match) return null;
  const [, day, clock, offset] = match;
  const date = new Date(`${day}T${clock}Z`);
  if (Number.isNaN(date.getTime())) return null;
  const language = locale.peek() === "pseudo" ? "en" : locale.peek();
  const shown = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" }).format(date);
  return offset && offset.toUpperCase() !== "Z" ? `${shown} (UTC${offset})` : offset ? `${shown} (UTC)` : shown;
}
