// The table of packages.

import { html } from "../lib/dom.js";
import { formatDateTime, formatRelativeTime, plural, t } from "../lib/i18n.js";
import { consolePath } from "../lib/router.js";
import { icon } from "../ui/icon.js";
import { createSelectCell, heading, selectAllCell, selectableTable } from "../ui/selectable_table.js";
import { arrivalText, getCarrierName, getEventName, getPlaceName, statusChips } from "./package_labels.js";

const ROW_HEIGHT = 68;

/** @param {import("../model/packages.js").PackageList} list @param {Element} scroller */
export function packageTable(list, selected, scroller) {
  const selectCell = createSelectCell(list, selected);
  return selectableTable({
    list,
    label: t("packages"),
    className: "document-table package-table",
    rowHeight: ROW_HEIGHT,
    head: [
      selectAllCell(list, selected, t("selectAllPackages")),
      heading("trackingNumber", "cell-name"),
      heading("lane", "cell-lane"),
      heading("packageStatus", "cell-chips"),
      heading("arrival", "cell-arrival"),
      heading("lastEvent", "cell-event"),
    ],
    renderRow: (shown, index) => packageRow(selected, shown, selectCell(shown, index, t("selectPackage", shown.tracking_number))),
    getCountText: (count) => getCountText(list, count),
    scroller,
  });
}

function packageRow(selected, shown, selectCell) {
  const { id, tracking_number: number, carrier, reference, origin, destination, last_event: last } = shown;
  return html.div(
    { class: () => `document-row${selected.value.has(id) ? " selected" : ""}` },
    selectCell,
    html.div(
      { role: "cell", class: "cell-title" },
      html.a({ class: "truncate number", href: consolePath(`/packages/${encodeURIComponent(id)}`), dataset: { focus: "title" }, translate: "no" }, number),
      html.div({ class: "cell-note" }, html.span({ class: "faint truncate", dir: "auto" }, [getCarrierName(carrier), reference].filter(Boolean).join(" · "))),
    ),
    html.div({ role: "cell", class: "cell-lane truncate", dir: "auto" }, laneText(origin, destination)),
    html.div({ role: "cell", class: "cell-chips" }, statusChips(shown)),
    html.div({ role: "cell", class: "cell-arrival" }, arrivalText(shown)),
    html.div({ role: "cell", class: "cell-event" }, last ? [html.span({ class: "truncate" }, getEventName(last.code)), html.time({ class: "faint", datetime: last.occurred_at, title: formatDateTime(last.occurred_at) }, formatRelativeTime(last.occurred_at))] : "–"),
  );
}

/** Return origin and destination with an arrow, or "–". */
export function laneText(origin, destination) {
  if (!origin && !destination) return "–";
  return [getPlaceName(origin) ?? "?", " ", html.span({ class: "lane-arrow" }, icon("right"), html.span({ class: "visually-hidden" }, t("laneTo"))), " ", getPlaceName(destination) ?? "?"];
}

/** Return the number of packages as a text: "200 packages loaded …" while more can be loaded. */
function getCountText(list, count) {
  const text = plural(count, { one: t("packageCountOne"), other: t("packageCountOther") });
  return list.isComplete.value ? text : t("morePackages", text);
}
