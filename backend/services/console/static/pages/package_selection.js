// Actions on the selected packages: export, investigation of the delay, tours, deletion.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { toCsv } from "../lib/csv.js";
import { watchLifetime } from "../lib/reactive.js";
import { runForAll } from "../model/library.js";
import { deletePackage, investigate } from "../model/packages.js";
import { can } from "../model/session.js";
import { confirmAction } from "../ui/dialog.js";
import { downloadText } from "../ui/download.js";
import { icon, iconButton } from "../ui/icon.js";
import { getErrorText, showNotice } from "../ui/notice.js";
import { planTours } from "./package_tour.js";

const COLUMNS = ["id", "tracking_number", "carrier", "status", "sub_status", "reference", "service", "shipped_at", "promised_at", "delivered_at", "late", "event_count"];
const PLACE_FIELDS = ["name", "country", "postal_code", "code", "lat", "lon"];

export function packageSelectionBar(list, selected) {
  const isLeft = watchLifetime();
  const getSelected = () => (list.items.peek() ?? []).filter(({ id }) => selected.peek().has(id));
  const button = (key, name, onclick, className = "button plain") => html.button({ type: "button", class: className, onclick }, icon(name), t(key));
  return () =>
    selected.value.size > 0 &&
    html.div(
      { class: "selection-bar", role: "region", "aria-label": t("selectedPackages") },
      html.span({ class: "number", role: "status" }, t("selectedPackageCount", selected.value.size)),
      button("exportSelected", "download", () => exportPackages(getSelected())),
      button("investigateDelay", "search", () => investigateAll(getSelected(), isLeft)),
      button("planTours", "map", () => planTours(getSelected())),
      can("packages:write") && button("delete", "trash", () => deleteAll(list, selected, getSelected()), "button plain danger"),
      iconButton("close", t("clearPackageSelection"), { class: "small", onclick: () => (selected.value = new Set()) }),
    );
}

/** Save the packages as CSV with the columns of the import. */
function exportPackages(packages) {
  const places = ["origin", "destination"].flatMap((place) => PLACE_FIELDS.map((field) => [`${place}_${field}`, (each) => each[place]?.[field]]));
  const eta = ["p10", "p50", "p90"].map((name) => [`eta_${name}`, (each) => each.eta?.[name]]);
  const columns = [
    ...COLUMNS.map((name) => [name, (each) => (typeof each[name] === "boolean" ? String(each[name]) : each[name])]),
    ...places,
    ...eta,
    ["late_probability", (each) => each.eta?.late_probability],
    ["last_event_code", (each) => each.last_event?.code],
    ["last_event_at", (each) => each.last_event?.occurred_at],
  ];
  const rows = packages.map((each) => columns.map(([, read]) => read(each)));
  downloadText(toCsv([columns.map(([name]) => name), ...rows]), "packages-selected.csv", "text/csv");
}

/** Also start the rest after the screen was left. Its results are then shown with each package. */
async function investigateAll(packages, isLeft) {
  const { done, failed } = await runForAll(packages, ({ id }) => investigate(id, "delay", isLeft));
  if (failed.length) showNotice(t("packagesFailed", failed.length, getErrorText(failed[0].error)));
  else if (!isLeft()) showNotice(t("packagesInvestigated", done.length));
}

async function deleteAll(list, selected, packages) {
  const title = packages.length === 1 ? t("deletePackage", packages[0].tracking_number) : t("deletePackages", packages.length);
  if (!(await confirmAction({ title, text: t("deletePackagesText"), action: t("delete"), isDanger: true }))) return;
  const { done, failed } = await runForAll(packages, deletePackage);
  list.drop(new Set(done.map(({ id }) => id)));
  selected.value = new Set(failed.map(({ item }) => item.id));
  showNotice(failed.length ? t("packagesFailed", failed.length, getErrorText(failed[0].error)) : t("packagesDeleted", done.length));
}
