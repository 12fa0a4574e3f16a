// Data tables. On narrow screens each row becomes a card.
//
//   dataTable({ label, columns, items })              columns: { label, render, className }
//   pagedTable({ label, columns, getPage, empty })    loads pages with "Show more"
//
// A column without a label holds the actions of a row.

import { append, html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { reportErrors } from "./notice.js";
import { asyncContent, emptyState } from "./states.js";

/** @typedef {{label?: string, render: (item: any) => any, className?: string}} Column */

/** @param {{label: string, columns: Column[], items: any[]}} options */
export function dataTable({ label, columns, items }) {
  return html.div(
    { class: "table-scroll", tabindex: "0", role: "group", "aria-label": label },
    html.table({ class: "table card-table", "aria-label": label }, html.thead(html.tr(columns.map(heading))), html.tbody(items.map((item) => row(columns, item)))),
  );
}

const heading = ({ label, className = "" }) =>
  html.th({ scope: "col", class: className || null }, label ?? html.span({ class: "visually-hidden" }, t("actions")));

const row = (columns, item) =>
  html.tr(columns.map(({ label, render, className = "" }) => html.td({ "data-label": label, class: label ? className || null : "end" }, render(item))));

/**
 * Return a table of all pages. `getPage(cursor)` resolves to `{items, next_cursor}`.
 *
 * @param {{label: string, columns: Column[], getPage: (cursor: string | null) => Promise<object>, empty: string}} options
 */
export function pagedTable({ label, columns, getPage, empty }) {
  return asyncContent(
    () => getPage(null),
    (first) => {
      if (!first.items.length) return emptyState(empty);
      const table = dataTable({ label, columns, items: first.items });
      return [table, moreButton(first.next_cursor, getPage, (items) => append(table.querySelector("tbody"), items.map((item) => row(columns, item))))];
    },
  );
}

function moreButton(firstCursor, getPage, add) {
  let cursor = firstCursor;
  const button = html.button({ type: "button", class: "button more-button", hidden: cursor === null }, t("showMore"));
  button.addEventListener("click", async () => {
    button.disabled = true;
    const page = await reportErrors(getPage(cursor));
    button.disabled = false;
    if (!page) return;
    add(page.items);
    cursor = page.next_cursor;
    button.hidden = cursor === null;
  });
  return button;
}
