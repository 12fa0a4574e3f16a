// Texts of packages: status, places, arrival with its delay, groups of statistics.

import { html } from "../lib/dom.js";
import { formatDateTime, formatNumber, hasText, t } from "../lib/i18n.js";
import { CLOSED } from "../model/packages.js";

const HOUR_MS = 3_600_000;
// From this many hours on, durations are given in days.
const DAYS_FROM = 48;
// A smaller difference is no delay.
const MIN_DELAY_HOURS = 0.5;

const TONES = {
  pre_transit: "", in_transit: "accent", out_for_delivery: "accent", attempted: "warn", available_for_pickup: "accent", delivered: "good",
  returning: "warn", returned: "warn", exception: "bad", cancelled: "", expired: "bad",
};

/** Return the status of a package, and whether it is late. */
export function statusChips({ status, sub_status: sub, late }) {
  return html.span(
    { class: "chips" },
    html.span({ class: `chip ${TONES[status] ?? ""}`, title: sub ? getReason(sub) : null }, t(`status_${status}`)),
    late && html.span({ class: "chip bad" }, t("packageLate")),
  );
}

export const getEventName = (code) => (hasText(`event_${code}`) ? t(`event_${code}`) : code);
export const getReason = (reason) => (hasText(`reason_${reason}`) ? t(`reason_${reason}`) : reason.replaceAll("_", " "));

/** Return a carrier's code as a name: "deutsche_post" becomes "Deutsche Post". */
export const getCarrierName = (code) => (code.length <= 4 ? code.toUpperCase() : code.replaceAll("_", " ").replace(/(^| )\p{L}/gu, (letter) => letter.toUpperCase()));

/** Return a place in one line: "Frankfurt (DEFRA), DE", or null. */
export function getPlaceName(place) {
  if (!place) return null;
  const { name, code, postal_code: postal, country, lat, lon } = place;
  const first = name && code ? `${name} (${code})` : (name ?? code ?? postal);
  const text = [first, country && !code?.startsWith(country) ? country : null].filter(Boolean).join(", ");
  return text || (lat !== undefined && lat !== null ? `${formatNumber(lat)}°, ${formatNumber(lon)}°` : null);
}

/** Return the key of a place in statistics, such as `code:DEFRA` or `place:de:60313`, as a text. */
export function getPlaceOfKey(key) {
  const [kind, ...parts] = key.split(":");
  if (kind === "code") return parts.join(":");
  if (kind !== "place") return key;
  const [country, area = ""] = parts;
  return [area.replace(/(^| )\p{L}/gu, (letter) => letter.toUpperCase()), country.toUpperCase()].filter(Boolean).join(", ");
}

/** Return the group of a forecast, such as `lane code:DEFRA>code:USPDX`, as a text. */
export function getGroupName(group) {
  const [level, ...rest] = group.split(" ");
  const [key] = rest.join(" ").split("|");
  if (level === "lane" || level === "lane_slack") return t("group_lane", ...splitLane(key));
  if (level === "destination" || level === "destination_slack") return t("group_destination", getPlaceOfKey(key));
  if (level === "carrier") return t("group_carrier", getCarrierName(key));
  return level === "all" ? t("group_all") : group;
}

const splitLane = (lane) => [0, 1].map((index) => getPlaceOfKey(lane.split(">")[index] ?? ""));

/** Format hours as hours or days: "5 hr", "3 days". */
export function formatHours(hours) {
  const isDays = Math.abs(hours) >= DAYS_FROM;
  const value = isDays ? hours / 24 : hours;
  return formatNumber(value, { style: "unit", unit: isDays ? "day" : "hour", unitDisplay: isDays ? "long" : "short", maximumFractionDigits: Math.abs(value) < 10 ? 1 : 0 });
}

export const hoursBetween = (from, to) => (new Date(to) - new Date(from)) / HOUR_MS;

/** Return `{label, time, note, tone}` of the arrival: delivered, expected, or promised. */
export function getArrival({ status, delivered_at: delivered, promised_at: promised, eta }, now = Date.now()) {
  if (delivered) return { label: t("arrivalDelivered"), time: delivered, ...describeDelay(promised, delivered, "delayLate") };
  if (CLOSED.has(status)) return { label: "", time: null, note: "", tone: "" };
  if (eta) return { label: t("arrivalExpected"), time: eta.p50, ...describeDelay(promised, eta.p50, "delayExpected") };
  if (!promised) return { label: t("arrivalUnknown"), time: null, note: "", tone: "" };
  const overdue = describeDelay(promised, new Date(now).toISOString(), "delayOverdue");
  return { label: t("arrivalPromised"), time: promised, ...(overdue.tone === "bad" ? overdue : { note: "", tone: "" }) };
}

function describeDelay(promised, time, lateKey) {
  if (!promised) return { note: "", tone: "" };
  const hours = hoursBetween(promised, time);
  if (hours > MIN_DELAY_HOURS) return { note: t(lateKey, formatHours(hours)), tone: "bad" };
  return { note: hours < -MIN_DELAY_HOURS ? t("delayEarly", formatHours(-hours)) : t("delayNone"), tone: "good" };
}

/** Return the arrival as elements. */
export function arrivalText(shown) {
  const { label, time, note, tone } = getArrival(shown);
  return [
    html.span({ class: "arrival-time" }, label, time && [" ", html.time({ datetime: time }, formatDateTime(time))]),
    note && html.span({ class: `arrival-note ${tone}` }, note),
  ];
}
