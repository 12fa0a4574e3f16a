// Ingestion queue: documents by state, the ones in progress and the failed ones, workers.

import { get } from "../lib/api.js";
import { html } from "../lib/dom.js";
import { formatNumber, formatPercent, formatRelativeTime, t } from "../lib/i18n.js";
import { consolePath } from "../lib/router.js";
import { createPolling } from "../model/polling.js";
import { can } from "../model/session.js";
import { errorState, skeleton } from "../ui/states.js";
import { dataTable } from "../ui/table.js";
import { adminFrame } from "./admin_frame.js";
import { dependencyRow } from "./dependency_row.js";
import { getFailureText, getStageName } from "./document_state.js";

const INTERVAL_MS = 5000;
const STATES = ["queued", "processing", "ready", "failed"];

export function page() {
  const polling = createPolling(loadQueue, INTERVAL_MS);
  return adminFrame(
    "queue",
    null,
    html.p({ class: "faint" }, t("queueText")),
    html.div({ class: "page-body" }, () => {
      if (polling.error.value && !polling.value.value) return errorState(polling.error.value, polling.reload);
      return polling.value.value ? queueView(polling.value.value) : skeleton(6);
    }),
  );
}

/** The lists contain only documents that the administrator may read. */
async function loadQueue() {
  const list = (status) => (can("rag:read") ? get("/rag/documents", { status, limit: 50 }).then(({ items }) => items) : []);
  const [stats, health, processing, queued, failed] = await Promise.all([get("/rag/stats", { days: 1 }), get("/rag/health/detailed").catch(() => null), list("processing"), list("queued"), list("failed")]);
  return { counts: stats.documents, dependencies: health?.dependencies ?? {}, active: [...processing, ...queued], failed };
}

function queueView({ counts, dependencies, active, failed }) {
  return [
    html.dl({ class: "totals" }, STATES.map((state) => html.div(html.dt(t(`queue_${state}`)), html.dd(formatNumber(counts[state]))))),
    html.ul({ class: "plain-list" }, Object.entries(dependencies).map(dependencyRow)),
    section("inProgress", active, t("queueEmpty"), [{ label: t("stage"), render: getStage }]),
    section("failedDocuments", failed, t("noFailed"), [{ label: t("reason"), render: getFailureText }]),
  ];
}

function getStage({ status, progress: { stage, done, total } }) {
  if (status === "queued") return t("queue_queued");
  const name = getStageName(stage);
  return total > 1 ? `${name} ${formatPercent(done / total)}` : name;
}

function section(title, items, empty, columns) {
  const shared = [
    { label: t("name"), render: ({ id, title: name }) => html.a({ href: consolePath(`/documents/${encodeURIComponent(id)}`), dir: "auto" }, name) },
    { label: t("created"), render: ({ created_at: time }) => formatRelativeTime(time) },
  ];
  return html.section({ class: "details-section" }, html.h2(t(title)), items.length ? dataTable({ label: t(title), columns: [...shared, ...columns], items }) : html.p({ class: "faint" }, empty));
}
