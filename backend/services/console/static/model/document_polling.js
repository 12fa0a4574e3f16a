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
      if (polled.size) await pollOnce().catch(() => {}); // the next round tries again
    }
    isPolling = false;
  }

  async function pollOnce() {
    const { documents, missing } = await readDocuments([...polled.keys()]);
    for (const document of documents) onDocument(polled.get(document.id), document);
    for (const id of missing) {
      onMissing(polled.get(id));
      polled.delete(id);
    }
  }

  return (owner, documentId) => {
    polled.set(documentId, owner);
    if (!isPolling) poll();
  };
}

/**
 * Read the state of documents: of the latest with one request, of a few others with one each.
 *
 * @param {string[]} ids
 * @returns {Promise<{documents: object[], missing: string[]}>} ids of deleted documents are missing
 */
export async function readDocuments(ids) {
  const others = new Set(ids);
  const listed = others.size > MAX_SINGLE_REQUESTS ? (await api.get("/rag/documents", { limit: MAX_LISTED })).items : [];
  const documents = listed.filter(({ id }) => others.delete(id));
  const missing = [];
  for (const id of [...others].slice(0, MAX_SINGLE_REQUESTS)) {
    try {
      documents.push(await api.get(`/rag/documents/${id}`));
    } catch (error) {
      if (error.status !== 404) throw error;
      missing.push(id);
    }
  }
  return { documents, missing };
}
