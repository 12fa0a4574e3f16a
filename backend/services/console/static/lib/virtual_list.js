// A long list of rows of one height, of which only those in view are elements.
//
//   const list = createVirtualList({ items, rowHeight: 56, key, render, onEnd, label })
//   container.append(list.element)
//
// *items* is a function that reads signals. Rows keep their element while their item is the same.
// The list has the roles of a table body or of a list; *role* and *rowRole* choose.

import { html } from "./dom.js";
import { createScope, effect, onDispose, signal, untracked } from "./reactive.js";

const OVERSCAN = 6;
// No view shows more rows, however small the rows or large the window.
const MAX_ROWS = 58;

/**
 * @param {object} options
 * @param {() => any[]} options.items
 * @param {number} options.rowHeight in px
 * @param {(item: any) => any} options.key
 * @param {(item: any, index: number) => Element} options.render
 * @param {() => void} [options.onEnd] called when the last row comes into view
 * @param {Element} [options.scroller] element that scrolls; default: the list itself
 */
export function createVirtualList({ items, rowHeight, key, render, onEnd, role = "list", rowRole = "listitem", label, scroller }) {
  const owner = createScope();
  const rows = new Map();
  // A row that is rendered again keeps the focus on its element with the same `data-focus`.
  let pendingFocus = null;
  const range = signal([0, 0]);
  const body = html.div({ class: "virtual-rows", role, "aria-label": label });
  const element = scroller ? body : html.div({ class: "virtual-list" }, body);
  const view = scroller ?? element;

  const measure = () => {
    const above = Math.max(0, view.getBoundingClientRect().top - body.getBoundingClientRect().top);
    const first = Math.max(0, Math.floor(above / rowHeight) - OVERSCAN);
    const visible = Math.ceil(view.clientHeight / rowHeight) + 2 * OVERSCAN;
    const last = first + Math.min(MAX_ROWS, visible);
    const [oldFirst, oldLast] = range.peek();
    if (first !== oldFirst || last !== oldLast) range.value = [first, last];
    if (last >= untracked(items).length) onEnd?.();
  };
  view.addEventListener("scroll", measure, { passive: true });
  const observer = new ResizeObserver(measure);
  observer.observe(view);
  onDispose(() => {
    view.removeEventListener("scroll", measure);
    observer.disconnect();
  });

  effect(() => {
    const list = items();
    const [first, last] = range.value;
    untracked(() => showRows(list, first, Math.min(last, list.length)));
  });

  function showRows(list, first, last) {
    body.style.height = `${list.length * rowHeight}px`;
    const shown = new Set();
    for (let index = first; index < last; index++) shown.add(key(list[index]));
    for (const id of rows.keys()) if (!shown.has(id)) removeRow(id);
    // The order of elements is the order of rows, for the Tab key and screen readers.
    for (let index = first; index < last; index++) {
      const { node } = placeRow(key(list[index]), list[index], index);
      const current = body.children[index - first] ?? null;
      if (current !== node) body.insertBefore(node, current);
    }
    pendingFocus?.row.node.querySelector(`[data-focus="${pendingFocus.name}"]`)?.focus();
    pendingFocus = null;
  }

  function placeRow(id, item, index) {
    let row = rows.get(id);
    if (row && row.item !== item) {
      const focused = row.node.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
      removeRow(id);
      row = createRow(id, item, index);
      if (focused) pendingFocus = { row, name: focused };
    }
    row ??= createRow(id, item, index);
    if (row.index === index) return row;
    row.index = index;
    row.node.style.translate = `0 ${index * rowHeight}px`;
    // The header of a table is its first row.
    if (rowRole === "row") row.node.setAttribute("aria-rowindex", index + 2);
    else row.node.setAttribute("aria-posinset", index + 1);
    return row;
  }

  function createRow(id, item, index) {
    const scope = owner.run(createScope);
    const node = scope.run(() => render(item, index));
    node.style.height = `${rowHeight}px`;
    node.setAttribute("role", rowRole);
    const row = { item, node, scope, index: -1 };
    rows.set(id, row);
    return row;
  }

  function removeRow(id) {
    const { node, scope } = rows.get(id);
    scope.dispose();
    node.remove();
    rows.delete(id);
  }

  return { element, measure };
}
