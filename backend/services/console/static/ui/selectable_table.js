// A table of a PagedList: rows in view only, selection with Shift and the keyboard.
//
//   selectableTable({ list, label, className, rowHeight, head, renderRow, getCountText, scroller })
//
// `selected` is a signal with the set of the ids of the selected items.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { createVirtualList } from "../lib/virtual_list.js";
import { reportErrors } from "./notice.js";

/**
 * Return the table, and below it the number of items.
 *
 * @param {object} options
 * @param {import("../model/paged_list.js").PagedList} options.list
 * @param {any[]} options.head cells of the head row
 * @param {(item: any, index: number) => Element} options.renderRow
 * @param {(count: number) => string} options.getCountText
 * @param {Element} options.scroller
 */
export function selectableTable({ list, label, className, rowHeight, head, renderRow, getCountText, scroller }) {
  const rows = createVirtualList({
    items: () => list.items.value ?? [],
    rowHeight,
    key: ({ id }) => id,
    render: renderRow,
    onEnd: () => reportErrors(list.loadMore()),
    role: "rowgroup",
    rowRole: "row",
    scroller,
  });
  const getCount = () => list.items.value?.length ?? 0;
  const table = html.div(
    { class: className, role: "table", "aria-label": label, "aria-rowcount": () => (list.isComplete.value ? getCount() + 1 : -1) },
    html.div({ role: "rowgroup", class: "document-head" }, html.div({ class: "document-row", role: "row", "aria-rowindex": "1" }, head)),
    rows.element,
  );
  return [table, html.p({ class: "faint table-count", role: "status" }, () => getCountText(getCount()))];
}

/** Return the head cell with the text *key*. */
export const heading = (key, className) => html.div({ role: "columnheader", class: className }, t(key));

/** Return the head cell with the box that selects all loaded items. */
export function selectAllCell(list, selected, label) {
  const isAll = () => selected.value.size > 0 && selected.value.size === list.items.value?.length;
  const box = html.input({
    type: "checkbox",
    "aria-label": label,
    checked: isAll,
    indeterminate: () => selected.value.size > 0 && !isAll(),
    onchange: (event) => {
      selected.value = new Set(event.currentTarget.checked ? list.items.peek().map(({ id }) => id) : []);
    },
  });
  return html.div({ role: "columnheader", class: "cell-select" }, box);
}

/**
 * Return a function `(item, index, label)` that returns the cell with the box of a row. With Shift,
 * a click also changes the rows up to the last one that was clicked.
 */
export function createSelectCell(list, selected) {
  let lastIndex = null;
  const select = (event, index) => {
    const isRange = event.shiftKey && lastIndex !== null;
    const from = isRange ? Math.min(lastIndex, index) : index;
    const to = isRange ? Math.max(lastIndex, index) : index;
    const next = new Set(selected.peek());
    for (const each of list.items.peek().slice(from, to + 1)) {
      if (event.currentTarget.checked) next.add(each.id);
      else next.delete(each.id);
    }
    lastIndex = index;
    selected.value = next;
  };
  return ({ id }, index, label) =>
    html.div(
      { role: "cell", class: "cell-select" },
      html.input({ type: "checkbox", "aria-label": label, dataset: { focus: "select" }, checked: () => selected.value.has(id), onclick: (event) => select(event, index) }),
    );
}
