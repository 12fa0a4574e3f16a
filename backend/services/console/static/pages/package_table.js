// The table of packages: rows in view only, selection with Shift and the keyboard.

import { html } from "../lib/dom.js";
import { formatDateTime, formatRelativeTime, plural, t } from "../lib/i18n.js";
import { consolePath } from "../lib/router.js";
import { createVirtualList } from "../lib/virtual_list.js";
import { icon } from "../ui/icon.js";
import { reportErrors } from "../ui/notice.js";
import { arrivalText, getCarrierName, getEventName, getPlaceName, statusChips } from "./package_labels.js";

const ROW_HEIGHT = 68;

/** @param {import("../model/packages.js").PackageList} list @param {Element} scroller */
export function packageTable(list, selected, scroller) {
  const rows = createVirtualList({
    items: () => list.packages.value ?? [],
    rowHeight: ROW_HEIGHT,
    key: ({ id }) => id,
    render: (shown, index) => packageRow(list, selected, shown, index),
    onEnd: () => reportErrors(list.loadMore()),
    role: "rowgroup",
    rowRole: "row",
    scroller,
  });
  const table = html.div(
    { class: "document-table package-table", role: "table", "aria-label": t("packages"), "aria-rowcount": () => (list.isComplete.value ? (list.packages.value?.length ?? 0) + 1 : -1) },
    html.div({ role: "rowgroup", class: "document-head" }, headRow(list, selected)),
    rows.element,
  );
  return [table, html.p({ class: "faint table-count", role: "status" }, () => getCountText(list))];
}

function headRow(list, selected) {
  const heading = (key, className) => html.div({ role: "columnheader", class: className }, t(key));
  return html.div(
    { class: "document-row", role: "row", "aria-rowindex": "1" },
    html.div({ role: "columnheader", class: "cell-select" }, selectAll(list, selected)),
    heading("trackingNumber", "cell-name"),
    heading("lane", "cell-lane"),
    heading("packageStatus", "cell-chips"),
    heading("arrival", "cell-arrival"),
    heading("lastEvent", "cell-event"),
  );
}

function selectAll(list, selected) {
  const isAll = () => selected.value.size > 0 && selected.value.size === list.packages.value?.length;
  return html.input({
    type: "checkbox",
    "aria-label": t("selectAllPackages"),
    checked: isAll,
    indeterminate: () => selected.value.size > 0 && !isAll(),
    onchange: (event) => {
      selected.value = new Set(event.currentTarget.checked ? list.packages.peek().map(({ id }) => id) : []);
    },
  });
}

function packageRow(list, selected, shown, index) {
  const { id, tracking_number: number, carrier, reference, origin, destination, last_event: last } = shown;
  return html.div(
    { class: () => `document-row${selected.value.has(id) ? " selected" : ""}` },
    html.div({ role: "cell", class: "cell-select" }, selectBox(list, selected, shown, index)),
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

let lastIndex = null;

function selectBox(list, selected, { id, tracking_number: number }, index) {
  return html.input({
    type: "checkbox",
    "aria-label": t("selectPackage", number),
    dataset: { focus: "select" },
    checked: () => selected.value.has(id),
    onclick: (event) => {
      const from = event.shiftKey && lastIndex !== null ? Math.min(lastIndex, index) : index;
      const to = event.shiftKey && lastIndex !== null ? Math.max(lastIndex, index) : index;
      const next = new Set(selected.peek());
      for (const each of list.packages.peek().slice(from, to + 1)) {
        if (event.currentTarget.checked) next.add(each.id);
        else next.delete(each.id);
      }
      lastIndex = index;
      selected.value = next;
    },
  });
}

/** Return the number of packages as a text: "200 packages loaded …" while more can be loaded. */
function getCountText(list) {
  const text = plural(list.packages.value?.length ?? 0, { one: t("packageCountOne"), other: t("packageCountOther") });
  return list.isComplete.value ? text : t("morePackages", text);
}
