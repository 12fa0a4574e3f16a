// Files of an answer. Each is uploaded at once; a message names the uploaded files.

import * as api from "../lib/api.js";
import { createId } from "../lib/random.js";
import { signal } from "../lib/reactive.js";

// As many files as one message accepts, and the size that the server accepts at most.
const MAX_FILES = 10;
const MAX_FILE_BYTES = 25_000_000;

/** A file on its way: stage is waiting, sending, ready or failed. */
class InboxUpload {
  key = createId();
  stage = signal("waiting");
  done = signal(0);
  total = signal(0);
  error = signal(null);
  /** What the server has stored: { id, type, … }; null before. */
  stored = null;
  abort = new AbortController();

  constructor(file) {
    this.file = file;
    this.name = file.name;
    this.size = file.size;
  }
}

/** Add files to the answer in the conversation *opened*, up to ten, and upload them in order. */
export function addFiles(opened, files) {
  const free = MAX_FILES - opened.files.peek().length;
  opened.files.value = [...opened.files.peek(), ...files.slice(0, free).map((file) => new InboxUpload(file))];
  uploadNext(opened);
  return files.length <= free;
}

export function removeFile(opened, upload) {
  upload.abort.abort();
  opened.files.value = opened.files.peek().filter((each) => each !== upload);
  uploadNext(opened);
}

export function retryFile(opened, upload) {
  upload.error.value = null;
  upload.stage.value = "waiting";
  uploadNext(opened);
}

async function uploadNext(opened) {
  const files = opened.files.peek();
  const next = files.find(({ stage }) => stage.peek() === "waiting");
  if (!next || files.some(({ stage }) => stage.peek() === "sending")) return;
  await upload(opened, next);
  uploadNext(opened);
}

async function upload(opened, entry) {
  entry.stage.value = "sending";
  try {
    const problem = checkFile(entry.file);
    if (problem) throw problem;
    const form = new FormData();
    form.append("file", entry.file, entry.name);
    const onProgress = (sent, total) => {
      entry.done.value = sent;
      entry.total.value = total;
    };
    const { body } = await api.uploadForm(`${opened.path}/attachments`, form, { signal: entry.abort.signal, onProgress });
    entry.stored = body;
    entry.stage.value = "ready";
  } catch (error) {
    entry.error.value = error;
    entry.stage.value = "failed";
  }
}

/** Return an error for a file that the server would reject, or null. */
function checkFile(file) {
  const code = file.size === 0 ? "empty_file" : file.size > MAX_FILE_BYTES ? "file_too_large" : null;
  return code && { name: "ApiError", code, errors: [] };
}

/**
 * Return the messages for the uploaded files: { content, label }, one for each type of file. The
 * first one has *text*. The files are no longer in the list.
 */
export function takeMessages(opened, text) {
  const groups = groupByType(opened.files.peek());
  opened.files.value = [];
  return [...groups].map(([type, files], index) => ({
    content: { type, ...(index === 0 && text ? { text } : {}), attachments: files.map(({ stored }) => ({ id: stored.id })) },
    label: [index === 0 ? text : "", files.map(({ name }) => name).join(", ")].filter(Boolean).join("\n"),
  }));
}

function groupByType(files) {
  const groups = new Map();
  for (const file of files) groups.set(file.stored.type, [...(groups.get(file.stored.type) ?? []), file]);
  return groups;
}
