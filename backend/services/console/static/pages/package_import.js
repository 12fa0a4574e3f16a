// Import of packages and events: a file is sent in parts, errors are shown by line.

import { uploadForm } from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { toCsv } from "../lib/csv.js";
import { formatBytes, formatNumber, t } from "../lib/i18n.js";
import { splitLines } from "../lib/line_parts.js";
import { effect, onDispose, signal } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import { downloadText } from "../ui/download.js";
import { chooseFiles } from "../ui/files.js";
import { icon } from "../ui/icon.js";
import { errorState } from "../ui/states.js";
import { dataTable } from "../ui/table.js";
import { packageTabs } from "./package_tabs.js";

const LINES_PER_REQUEST = 1000;
const MAX_FILE_BYTES = 100_000_000;
const MAX_SHOWN_ERRORS = 200;
const MAX_SHOWN_LINE = 160;
const CSV = "text/csv";
const JSON_LINES = "application/x-ndjson";
const EXAMPLE = [
  ["tracking_number", "carrier", "reference", "origin_code", "destination_code", "promised_at", "event_code", "event_occurred_at", "event_location_code"],
  ["1Z5R89390357567127", "ups", "order-4713", "DEFRA", "USPDX", "2030-02-03T17:00:00Z", "picked_up", "2026-06-10T08:00:00Z", "DEFRA"],
];

/** @typedef {{kind: "empty" | "running" | "done" | "failed", name?: string, done?: number, total?: number, result?: object, error?: Error}} ImportState */

export function page() {
  const state = signal({ kind: "empty" });
  let abort = null;
  const start = (items) => {
    const file = items[0]?.file;
    if (!file || state.peek().kind === "running") return;
    abort = new AbortController();
    importFile(file, state, abort.signal);
  };
  onDispose(() => abort?.abort());
  acceptDrops(start);
  const body = html.div({ class: "page-body" });
  effect(() => replaceChildren(body, renderState(state.value, start, () => abort?.abort())));
  return html.div({ class: "page-frame" }, html.header({ class: "page-header" }, html.h1({ class: "title" }, t("packageImport")), packageTabs()), body);
}

function renderState(state, start, cancel) {
  if (state.kind === "running") return progress(state, cancel);
  return [state.kind === "failed" && errorState(state.error), state.result && result(state), dropArea(start), help()];
}

function dropArea(start) {
  return html.div(
    { class: "import-drop" },
    html.p(t("importText")),
    html.button({ type: "button", class: "button primary", onclick: () => chooseFiles(start) }, icon("upload"), t("chooseFile")),
    html.p({ class: "faint" }, t("importFormats")),
  );
}

function help() {
  return html.details(
    { class: "import-help" },
    html.summary(t("importHelp")),
    html.p(t("importHelpText")),
    html.button({ type: "button", class: "button", onclick: () => downloadText(toCsv(EXAMPLE), "packages-example.csv", CSV) }, icon("download"), t("exampleFile")),
  );
}

function progress({ name, done, total }, cancel) {
  return html.div(
    { class: "import-progress", role: "status" },
    html.p(html.strong({ dir: "auto" }, name)),
    html.progress({ max: String(total), value: done, "aria-label": t("importProgress") }),
    html.p({ class: "number" }, t("linesOf", formatNumber(done), formatNumber(total))),
    html.button({ type: "button", class: "button", onclick: cancel }, t("cancel")),
  );
}

/** Import a file that is dropped anywhere. Elsewhere, the shell adds dropped files as documents. */
function acceptDrops(start) {
  const listener = (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (event.type === "drop") start([...event.dataTransfer.files].map((file) => ({ file })));
  };
  for (const type of ["dragenter", "dragleave", "dragover", "drop"]) {
    document.addEventListener(type, listener, { capture: true });
    onDispose(() => document.removeEventListener(type, listener, { capture: true }));
  }
}

/** Send the parts of *file* one after the other, and add up their results. */
async function importFile(file, state, signal) {
  const result = { lines: 0, created: 0, existing: 0, events: 0, failed: 0, errors: [] };
  let isStarted = false;
  try {
    const type = getType(file);
    const text = await readText(file);
    const parts = splitLines(text, LINES_PER_REQUEST, { isCsv: type === CSV });
    const total = parts.reduce((sum, { lines }) => sum + lines, 0);
    for (const part of parts) {
      if (signal.aborted) throw new DOMException("cancelled", "AbortError");
      state.value = { kind: "running", name: file.name, done: result.lines, total };
      const { body } = await uploadForm("/packages/import", new Blob([part.text], { type }), { signal });
      isStarted = true;
      addResult(result, body, part, text);
    }
    state.value = { kind: "done", name: file.name, result };
  } catch (error) {
    const isCancelled = error.name === "AbortError";
    state.value = { kind: isCancelled ? "done" : "failed", name: file.name, error, isCancelled, result: isStarted || isCancelled ? result : null };
  }
}

function addResult(result, body, { offset }, text) {
  for (const name of ["lines", "created", "existing", "events", "failed"]) result[name] += body[name];
  if (!body.errors.length) return;
  const lines = text.split("\n");
  const errors = body.errors.map((error) => ({ ...error, line: error.line + offset, source: (lines[error.line + offset - 1] ?? "").trim() }));
  result.errors.push(...errors);
}

function getType({ name, type }) {
  if (/\.(jsonl|ndjson|json)$/i.test(name) || type === JSON_LINES) return JSON_LINES;
  if (/\.(csv|txt)$/i.test(name) || type === CSV) return CSV;
  throw new ImportError(t("importUnknownType"));
}

async function readText(file) {
  if (file.size > MAX_FILE_BYTES) throw new ImportError(t("importTooLarge", formatBytes(MAX_FILE_BYTES)));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new ImportError(t("importNotUtf8"));
  }
}

/** A file that is not sent. The message is for the user. */
class ImportError extends Error {
  name = "ApiError";
}

function result({ name, result: found, isCancelled }) {
  const { lines, created, existing, events, failed, errors } = found;
  const facts = [["importLines", lines], ["importCreated", created], ["importExisting", existing], ["importEvents", events], ["importFailed", failed]];
  return html.section(
    { class: "import-result", "aria-label": t("importResult") },
    html.h2({ dir: "auto" }, name),
    html.p({ role: "status" }, icon(failed || isCancelled ? "warning" : "check"), " ", isCancelled ? t("importCancelled") : failed ? t("importWithErrors") : t("importComplete")),
    html.dl({ class: "totals" }, facts.map(([key, value]) => html.div(html.dt(t(key)), html.dd({ class: "number" }, formatNumber(value))))),
    html.p(html.a({ href: consolePath("/packages") }, t("showPackages"))),
    errors.length > 0 && errorTable(errors, failed),
  );
}

function errorTable(errors, failed) {
  const save = () => downloadText(toCsv([["line", "code", "pointer", "detail", "source"], ...errors.map(({ line, code, pointer, detail, source }) => [line, code, pointer, detail, source])]), "import-errors.csv", CSV);
  const columns = [
    { label: t("line"), render: ({ line }) => html.span({ class: "number" }, formatNumber(line)) },
    { label: t("field"), render: ({ pointer }) => html.code(pointer ? pointer.replace("#/", "") : "–") },
    { label: t("importReason"), render: ({ detail }) => detail },
    { label: t("lineText"), render: ({ source }) => html.code({ dir: "auto" }, source.length > MAX_SHOWN_LINE ? `${source.slice(0, MAX_SHOWN_LINE)}…` : source) },
  ];
  return [
    html.header({ class: "page-header" }, html.h3(t("importErrors")), html.button({ type: "button", class: "button", onclick: save }, icon("download"), t("exportErrors"))),
    failed > Math.min(errors.length, MAX_SHOWN_ERRORS) && html.p({ class: "faint" }, t("firstErrors", formatNumber(Math.min(errors.length, MAX_SHOWN_ERRORS)))),
    dataTable({ label: t("importErrors"), columns, items: errors.slice(0, MAX_SHOWN_ERRORS) }),
  ];
}
