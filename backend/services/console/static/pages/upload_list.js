// Files that are being added, with a summary: "48 ready, 1 duplicate, 1 failed".

import { html, keyedList } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { computed, signal } from "../lib/reactive.js";
import { countInterrupted, getUploadSummary, removeEndedUploads, removeUpload, retryInterrupted, retryUpload, uploads } from "../model/uploads.js";
import { uploadRow } from "../ui/upload_row.js";

// More rows would push the list of documents out of view.
const MAX_SHOWN = 6;
const ORDER = { failed: 0, ready: 2, duplicate: 2 };

export function uploadList() {
  const summary = computed(getUploadSummary);
  const interrupted = computed(countInterrupted);
  const showsAll = signal(false);
  const sorted = computed(() => [...uploads.value].sort((a, b) => (ORDER[a.stage.value] ?? 1) - (ORDER[b.stage.value] ?? 1)));
  const shown = () => (showsAll.value ? sorted.value : sorted.value.slice(0, MAX_SHOWN));
  const rows = html.div({ class: "upload-rows" });
  keyedList(rows, shown, ({ key }) => key, (item) => {
    const upload = item.peek();
    return uploadRow(upload, { onRemove: () => removeUpload(upload), onRetry: (options) => retryUpload(upload, options) });
  });
  return html.section(
    { class: "upload-list", "aria-label": t("uploads"), hidden: () => uploads.value.length === 0 },
    html.div(
      { class: "upload-summary" },
      html.p({ role: "status" }, () => getSummaryText(summary.value)),
      html.button({ type: "button", class: "link-button", hidden: () => uploads.value.length <= MAX_SHOWN, onclick: () => showsAll.update((value) => !value) }, () => t(showsAll.value ? "showFewer" : "showAll")),
      html.button({ type: "button", class: "link-button", hidden: () => interrupted.value === 0, onclick: retryInterrupted }, () => t("retryInterrupted", interrupted.value)),
      html.button({ type: "button", class: "link-button", hidden: () => summary.value.active > 0, onclick: removeEndedUploads }, t("clearFinished")),
    ),
    rows,
  );
}

/** Return "12 in progress, 35 ready, 1 duplicate, 1 failed" without the zeros. */
function getSummaryText({ active, ready, duplicate, failed }) {
  const parts = [
    [active, "summaryActive"],
    [ready, "summaryReady"],
    [duplicate, "summaryDuplicate"],
    [failed, "summaryFailed"],
  ];
  return parts.filter(([count]) => count > 0).map(([count, key]) => t(key, count)).join(", ");
}
