// Adds documents that the user chooses, drops or pastes. The upload queue is loaded when needed.

import { loadModule } from "../ui/lazy.js";
import { reportErrors } from "../ui/notice.js";

const loadUploads = () => Promise.all([loadModule(() => import("../ui/files.js")), loadModule(() => import("../model/uploads.js"))]);

/** Let the user choose files, or a folder, and add them. */
export function chooseDocuments({ isFolder = false, ...options } = {}) {
  return reportErrors(loadUploads().then(([{ chooseFiles }, { addFiles }]) => chooseFiles((items) => addFiles(items, options), { isFolder })));
}

/** Add the files and folders of a drop or paste event. */
export function addTransferredFiles(dataTransfer, options = {}) {
  // The items are gone after the event.
  const entries = [...dataTransfer.items].filter(({ kind }) => kind === "file").map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  return reportErrors(loadUploads().then(async ([{ readEntries }, { addFiles }]) => addFiles(await readEntries(entries), options)));
}
