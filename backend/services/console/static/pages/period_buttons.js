// Buttons that select a period of days; the choice is in the address.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { route, updateQuery } from "../lib/router.js";

const PERIODS = [7, 30, 90];

/** Return a signal with the number of days in the address, or 30. */
export function createPeriod() {
  const days = Number(route.peek().query.get("days"));
  return signal(PERIODS.includes(days) ? days : 30);
}

/** @param {import("../lib/reactive.js").Signal<number>} days */
export function periodButtons(days) {
  const select = (count) => {
    days.value = count;
    updateQuery({ days: count });
  };
  return html.div(
    { class: "segments", role: "group", "aria-label": t("period") },
    PERIODS.map((count) => html.button({ type: "button", "aria-pressed": () => String(days.value === count), onclick: () => select(count) }, t("dayCount", count))),
  );
}
