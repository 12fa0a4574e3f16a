// The filters of the list of packages. They are parameters of the address.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { route, updateQuery } from "../lib/router.js";
import { STATUSES, getStats } from "../model/packages.js";
import { icon } from "../ui/icon.js";
import { getCarrierName } from "./package_labels.js";

const SEARCH_DELAY_MS = 250;
const DEFAULT_SORT = "-created_at";
const SORTS = [DEFAULT_SORT, "-updated_at", "eta", "promised_at", "-delivered_at"];
const MORE = ["origin", "destination", "tag", "created_since", "created_until", "eta_since", "eta_until"];

const getValue = (name) => route.peek().query.get(name) ?? "";

/** @param {import("../lib/reactive.js").Signal<boolean>} isLive */
export function packageFilters(isLive) {
  return html.div(
    { class: "package-filters", role: "search", "aria-label": t("filterPackages") },
    html.div(
      { class: "filter-bar" },
      html.div(
        { class: "search-field" },
        icon("search"),
        html.input({ class: "input", type: "search", value: getValue("q"), maxlength: 200, dir: "auto", placeholder: t("searchPackages"), "aria-label": t("searchPackages"), oninput: delayed((text) => updateQuery({ q: text })) }),
      ),
      select("status", t("packageStatus"), [["", t("allStatuses")], ...STATUSES.map((status) => [status, t(`status_${status}`)])]),
      carrierSelect(),
      select("late", t("punctuality"), [["", t("lateOrNot")], ["true", t("onlyLate")], ["false", t("onlyNotLate")]]),
      select("sort", t("sortOrder"), SORTS.map((sort) => [sort === DEFAULT_SORT ? "" : sort, t(`sort_${sort.replace("-", "")}`)])),
    ),
    html.details(
      { class: "more-filters", open: MORE.some(getValue) },
      html.summary(t("moreFilters")),
      html.div({ class: "filter-bar" }, MORE.map(moreField)),
    ),
    html.p({ class: "faint live-note", role: "status" }, () => t(isLive.value ? "packagesLive" : "packagesNotLive")),
  );
}

function delayed(change) {
  let timer = 0;
  return (event) => {
    clearTimeout(timer);
    const text = event.currentTarget.value.trim();
    timer = setTimeout(() => change(text), SEARCH_DELAY_MS);
  };
}

function moreField(name) {
  const isTime = /_(since|until)$/.test(name);
  // Places are codes or countries of at least two letters.
  const change = (text) => (isTime || name === "tag" || text.length !== 1) && updateQuery({ [name]: text });
  const attributes = isTime ? { type: "date", onchange: (event) => change(event.currentTarget.value) } : { maxlength: 64, placeholder: name === "tag" ? null : "DE, DEFRA", oninput: delayed(change) };
  return html.label({ class: "compact-field" }, html.span(t(`filter_${name}`)), html.input({ class: "input", name, value: getValue(name), autocomplete: "off", ...attributes }));
}

function select(name, label, options) {
  const current = getValue(name);
  return html.select(
    { class: "input", "aria-label": label, onchange: (event) => updateQuery({ [name]: event.currentTarget.value }) },
    options.map(([value, text]) => html.option({ value, selected: value === current }, text)),
  );
}

/** The carriers of the tenant's packages, with the selected one. */
function carrierSelect() {
  const carriers = signal([]);
  getStats(1).then(({ by_carrier: counts }) => (carriers.value = Object.keys(counts)), () => {});
  const options = () => {
    const names = new Set([...carriers.value, getValue("carrier")].filter(Boolean));
    return [["", t("allCarriers")], ...[...names].map((name) => [name, getCarrierName(name)])];
  };
  return html.div({ class: "filter-slot" }, () => select("carrier", t("carrier"), options()));
}
