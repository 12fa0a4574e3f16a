// Progress of the files that are being added, above the composer.

import { html, keyedList } from "../lib/dom.js";
import { removeUpload, retryUpload, uploads } from "../model/uploads.js";
import { uploadRow } from "../ui/upload_row.js";

const MAX_ROWS = 5;

export function uploadRows() {
  return keyedList(
    html.div({ class: "composer-uploads" }),
    () => uploads.value.slice(0, MAX_ROWS),
    (upload) => upload.key,
    (held) => uploadRow(held.peek(), { onRemove: () => removeUpload(held.peek()), onRetry: (options) => retryUpload(held.peek(), options) }),
  );
}
