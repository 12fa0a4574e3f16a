// Packages: filters in the address, list with selection, export; live through the topic `packages`.

import { html, renderOnChange } from "../lib/dom.js";
import { plural, t } from "../lib/i18n.js";
import { computed, effect, signal } from "../lib/reactive.js";
import { consolePath, navigate, route, updateQuery } from "../lib/router.js";
import { createThrottle, followTopics } from "../model/live.js";
import { FILTERS, PackageList, getExportUrl, readFilter } from "../model/packages.js";
import { can } from "../model/session.js";
import { icon } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { emptyState, errorState, skeleton } from "../ui/states.js";
import { createPackageDialog } from "./package_forms.js";
import { packageFilters } from "./package_filters.js";
import { packageSelectionBar } from "./package_selection.js";
import { packageTable } from "./package_table.js";
import { packageTabs } from "./package_tabs.js";

const REFRESH_MS = 1500;
const EXPORTS = ["csv", "jsonl", "xlsx"];

export function page() {
  const list = new PackageList();
  const selected = signal(new Set());
  // Equal filters are equal texts, so that only a change of a filter loads the list again.
  const filter = computed(() => JSON.stringify(readFilter(route.value.query)));
  effect(() => {
    list.load(JSON.parse(filter.value));
    selected.value = new Set();
  });
  const isLive = followList(list);
  return html.div(
    { class: "page-frame" },
    html.header({ class: "page-header" }, html.h1({ class: "title" }, t("packages")), packageTabs(), html.div({ class: "actions" }, exportButton(), can("packages:write") && createButton())),
    packageFilters(isLive),
    () => list.created.value > 0 && newPackagesButton(list),
    html.div({ class: "page-body" }, packageArea(list, selected)),
    packageSelectionBar(list, selected),
  );
}

/** Show changes of packages in the list. Returns a signal that is true while they arrive. */
function followList(list) {
  const refresh = createThrottle(async () => {
    if (await list.refresh()) refresh();
  }, REFRESH_MS);
  let isFirst = true;
  const onReady = () => {
    // What was loaded before the subscription may lack a change; after an interruption, many.
    if (isFirst) list.update().catch(() => {});
    else list.reload();
    isFirst = false;
  };
  return followTopics(["packages"], { onReady, onEvent: (event) => list.applyEvent(event) && refresh() }).isLive;
}

function newPackagesButton(list) {
  const text = plural(list.created.value, { one: t("newPackagesOne"), other: t("newPackagesOther") });
  return html.button({ type: "button", class: "button new-packages", onclick: () => list.reload() }, icon("repeat"), text);
}

function createButton() {
  const create = async () => {
    const created = await createPackageDialog();
    if (created?.id) navigate(`/packages/${encodeURIComponent(created.id)}`);
  };
  return html.button({ type: "button", class: "button primary", onclick: create }, icon("plus"), t("addPackage"));
}

function exportButton() {
  const button = html.button({ type: "button", class: "button" }, icon("download"), t("exportPackages"));
  return menuButton(button, () => EXPORTS.map((format) => ({ label: t(`export_${format}`), icon: "file", href: getExportUrl(format, readFilter(route.peek().query)), download: `packages.${format}` })), { align: "end" });
}

const isFiltered = () => FILTERS.some((name) => name !== "sort" && route.peek().query.get(name));

/** The table follows the list by itself: it is rendered again only if the kind of content changes. */
function packageArea(list, selected) {
  const getKind = () => {
    if (list.error.value) return list.error.value;
    if (list.items.value === null) return "loading";
    if (list.items.value.length) return "table";
    return isFiltered() ? "filtered" : "empty";
  };
  return renderOnChange(getKind, (kind) => {
    if (kind === "loading") return skeleton(8);
    if (kind === "table") return packageTable(list, selected, document.getElementById("main"));
    if (kind === "filtered") return emptyState(t("noMatchingPackages"), html.button({ type: "button", class: "button", onclick: clearFilter }, t("clearFilter")));
    if (kind === "empty") return emptyState(t(can("packages:write") ? "noPackages" : "noReadablePackages"), can("packages:write") && html.a({ class: "button", href: consolePath("/packages/import") }, icon("upload"), t("packageImport")));
    return errorState(kind, () => list.reload());
  });
}

function clearFilter() {
  for (const input of document.querySelectorAll(".package-filters :is(input, select)")) input.value = input.dataset.default ?? "";
  updateQuery(Object.fromEntries(FILTERS.map((name) => [name, null])));
}
