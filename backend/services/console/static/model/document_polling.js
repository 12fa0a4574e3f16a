// Polls documents that are being processed: many with one request, because requests are limited by
// minute.

import * as api from "../lib/api.js";

const POLL_MS = 3000;
const MAX_LISTED = 200;
const MAX_SINGLE_REQUESTS = 3;

/**
 * Return a function `(owner, documentId)` that polls a document until `isEnded(owner)`.
 *
 * @param {object} options
 * @param {(owner: any) => boolean} options.isEnded
 * @param {(owner: any, document: object) => void} options.onDocument called with each state
 * @param {(owner: any) => void} options.onMissing called if the document was deleted
 */
export function createDocumentPolling({ isEnded, onDocument, onMissing }) {
  /** Owners by document id. */
  const polled = new Map();
  let isPolling = false;

  async function poll() {
    isPolling = true;
    while (polled.size) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      for (const [id, owner] of polled) if (isEnded(owner)) polled.delete(id);
      await pollOnce().catch(() => {}); // the next round tries again
    }
    isPolling = false;
  }

  /** Read the latest documents with one request, and some of the others. */
  async function pollOnce() {
    const listed = polled.size > MAX_SINGLE_REQUESTS ? (await api.get("/rag/documents", { limit: MAX_LISTED })).items : [];
    const others = new Map(polled);
    for (const document of listed) {
      if (others.delete(document.id)) onDocument(polled.get(document.id), document);
    }
    for (const [id, owner] of [...others].slice(0, MAX_SINGLE_REQUESTS)) {
      try {
        onDocument(owner, await api.get(`/rag/documents/${id}`));
      } catch (error) {
        if (error.status !== 404) throw error;
        polled.delete(id);
        onMissing(owner);
      }
    }
  }

  return (owner, documentId) => {
    polled.set(documentId, owner);
    if (!isPolling) poll();
  };
}
