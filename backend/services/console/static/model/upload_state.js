// What other parts of the console read about uploads; model/uploads.js does the work when needed.

import { signal } from "../lib/reactive.js";

/** Files that are being sent and processed, latest first; see Upload in uploads.js. */
export const uploads = signal([]);

/** The latest new state of a document that is being processed, or null. */
export const changedDocument = signal(null);
