// Rows of the files of an answer, with their progress and errors.

import { html, keyedList } from "../lib/dom.js";
import { removeFile, retryFile } from "../model/inbox_uploads.js";
import { uploadRow } from "../ui/upload_row.js";

export function fileRows(opened) {
  return keyedList(
    html.div({ class: "inbox-files" }),
    () => opened.files.value,
    (upload) => upload.key,
    (held) => uploadRow(held.peek(), { onRemove: () => removeFile(opened, held.peek()), onRetry: () => retryFile(opened, held.peek()) }),
  );
}
