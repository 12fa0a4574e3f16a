// Saves text as a file of the user.

import { html } from "../lib/dom.js";

/** Save *text* as *filename*. */
export function downloadText(text, filename, type = "text/plain") {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = html.a({ href: url, download: filename });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Return *title* as a file name. */
export const toFilename = (title, extension) => `${title.replace(/[^\p{L}\p{N} ._-]+/gu, " ").trim().slice(0, 80) || "export"}.${extension}`;
