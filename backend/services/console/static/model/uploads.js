// Files that are being sent and processed.
//
//   addFiles([{ file, path }], { collection })   start; path is the folder path or ""
//   uploads.value                                list of Upload, latest first
//   cancelUpload, removeUpload, retryUpload(upload, { password })
//   getUploadSummary()                           { active, ready, duplicate, failed }
//   onDocumentChange(listener)                   called with documents as they progress

import * as api from "../lib/api.js";
import { createId } from "../lib/random.js";
import { signal } from "../lib/reactive.js";
import { createDocumentPolling } from "./document_polling.js";
import { changedDocument, uploads } from "./upload_state.js";

export { uploads };

const MAX_TRANSFERS = 3;
// HTTP/1.1 allows six connections to a server: three for files, two for streams, one for the rest.
const MAX_EVENT_STREAMS = 2;
// A server with too many requests or waiting documents says when to continue.
const BUSY_STATUSES = new Set([429, 503]);
const DEFAULT_PAUSE_SECONDS = 5;
const MAX_PAUSE_SECONDS = 60;
const MAX_POSTPONEMENTS = 30;
const MAX_FILE_BYTES = 100_000_000;

const waiting = [];
const listeners = new Set();
let transfers = 0;
let eventStreams = 0;
let pausedUntil = 0;
let pauseTimer = 0;

/** A file on its way: stage is waiting, sending, a stage of rag, ready, duplicate or failed. */
class Upload {
  key = createId();
  stage = signal("waiting");
  done = signal(0);
  total = signal(0);
  document = signal(null);
  error = signal(null);
  abort = new AbortController();
  password = null;
  postponements = 0;

  constructor({ file, path = "" }, options) {
    this.file = file;
    this.path = path;
    this.name = file.name;
    this.size = file.size;
    this.options = options;
  }
}

const ENDED = new Set(["ready", "duplicate", "failed"]);
export const isEnded = (upload) => ENDED.has(upload.stage.value);

/** Call *listener* with each new state of a document. Returns a function that stops. */
export function onDocumentChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Send files; three at a time. */
export function addFiles(items, options = {}) {
  const added = items.map((item) => new Upload(item, options));
  uploads.value = [...added, ...uploads.peek()];
  waiting.push(...added);
  startTransfers();
  return added;
}

function startTransfers() {
  clearTimeout(pauseTimer);
  const pause = pausedUntil - Date.now();
  if (pause > 0) {
    pauseTimer = setTimeout(startTransfers, pause);
    return;
  }
  while (transfers < MAX_TRANSFERS && waiting.length) {
    const upload = waiting.shift();
    if (upload.abort.signal.aborted) continue;
    transfers++;
    transfer(upload).finally(() => {
      transfers--;
      startTransfers();
    });
  }
}

/** Send a file. An error ends this upload only. */
async function transfer(upload) {
  upload.error.value = null;
  const problem = checkFile(upload.file);
  if (problem) return fail(upload, problem);
  upload.stage.value = "sending";
  try {
    const form = createForm(upload);
    const { status, body } = await api.uploadForm("/rag/documents", form, {
      signal: upload.abort.signal,
      onProgress: (sent, total) => {
        upload.done.value = sent;
        upload.total.value = total;
      },
    });
    const [document] = body.documents;
    // 200: the collection already has this content, and nothing was added.
    const isDuplicate = status === 200 && document.status === "ready";
    applyDocument(upload, document, isDuplicate ? "duplicate" : null);
    if (!isEnded(upload)) follow(upload, document.id);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (BUSY_STATUSES.has(error.status) && upload.postponements++ < MAX_POSTPONEMENTS) postpone(upload, error.retry_after);
    else fail(upload, error);
  }
}

/** Send nothing for *seconds*, then this file again. */
function postpone(upload, seconds) {
  pausedUntil = Date.now() + Math.min(MAX_PAUSE_SECONDS, seconds ?? DEFAULT_PAUSE_SECONDS) * 1000;
  enqueue(upload);
}

/** Send *upload* before the other waiting files. */
function enqueue(upload) {
  upload.done.value = 0;
  upload.total.value = 0;
  upload.error.value = null;
  upload.stage.value = "waiting";
  waiting.unshift(upload);
}

function createForm(upload) {
  const form = new FormData();
  form.append("file", upload.file, upload.name);
  if (upload.options.collection) form.append("collection", upload.options.collection);
  if (upload.path) form.append("metadata", JSON.stringify({ path: upload.path }));
  if (upload.password) form.append("password", upload.password);
  return form;
}

/** Return an error for a file that the server would reject, or null. */
function checkFile(file) {
  if (file.size === 0) return { name: "ApiError", code: "empty_file", errors: [] };
  if (file.size > MAX_FILE_BYTES) return { name: "ApiError", code: "too_large", errors: [] };
  return null;
}

function fail(upload, error) {
  upload.error.value = error;
  upload.stage.value = "failed";
}

function applyDocument(upload, document, stage = null) {
  upload.document.value = document;
  upload.done.value = document.progress.done;
  upload.total.value = document.progress.total;
  if (document.status === "failed") fail(upload, { name: "ApiError", code: document.error?.code, message: document.error?.detail, errors: [] });
  else upload.stage.value = stage ?? (document.status === "ready" ? "ready" : document.progress.stage);
  changedDocument.value = document;
  for (const listener of listeners) listener(document);
}

const pollDocument = createDocumentPolling({ isEnded: (upload) => isEnded(upload) || upload.abort.signal.aborted, onDocument: applyDocument, onMissing: (upload) => removeUpload(upload) });

function follow(upload, documentId) {
  // A stream is a request for each document: with many files, polling needs fewer.
  if (eventStreams < MAX_EVENT_STREAMS && waiting.length === 0) streamProgress(upload, documentId);
  else pollDocument(upload, documentId);
}

function streamProgress(upload, documentId) {
  eventStreams++;
  const source = new EventSource(`/rag/documents/${documentId}/events`);
  const close = () => {
    source.close();
    eventStreams--;
  };
  source.addEventListener("progress", (event) => {
    applyDocument(upload, JSON.parse(event.data));
    if (isEnded(upload)) close();
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return;
    close();
    if (!isEnded(upload)) pollDocument(upload, documentId);
  });
  upload.abort.signal.addEventListener("abort", close, { once: true });
}

/** Send a failed file again, for example with the password of an encrypted file. */
export function retryUpload(upload, { password = null } = {}) {
  upload.abort = new AbortController();
  upload.password = password;
  upload.postponements = 0;
  enqueue(upload);
  startTransfers();
}

/** True if the file itself is not the reason of the failure. */
const isInterrupted = ({ stage, error }) => stage.value === "failed" && (error.value?.name === "NetworkError" || error.value?.status >= 500 || error.value?.status === 429);

/** Count the files that were not sent because the server did not respond, or was busy. */
export const countInterrupted = () => uploads.value.filter(isInterrupted).length;

/** Send those files again. */
export function retryInterrupted() {
  for (const upload of uploads.peek().filter(isInterrupted)) retryUpload(upload);
}

/** Remove *upload* from the list. A file that is being sent is not sent further. */
export function removeUpload(upload) {
  upload.abort.abort();
  uploads.value = uploads.peek().filter((each) => each !== upload);
}

/** Remove the entries that are ready. Failures stay until they are dismissed. */
export function removeEndedUploads() {
  uploads.value = uploads.peek().filter((upload) => !["ready", "duplicate"].includes(upload.stage.peek()));
}

/** Count the uploads by state; reading it in an effect follows the changes. */
export function getUploadSummary() {
  const summary = { active: 0, ready: 0, duplicate: 0, failed: 0 };
  for (const upload of uploads.value) summary[ENDED.has(upload.stage.value) ? upload.stage.value : "active"]++;
  return summary;
}

window.addEventListener("beforeunload", (event) => {
  if (uploads.peek().some((upload) => ["waiting", "sending"].includes(upload.stage.peek()))) event.preventDefault();
});
