// Documents and collections of the user.

import * as api from "../lib/api.js";
import { signal } from "../lib/reactive.js";
import { readDocuments } from "./document_polling.js";
import { PagedList } from "./paged_list.js";

const PAGE_SIZE = 200;
const POLL_MS = 3000;
const MAX_PARALLEL = 4;

/** Collections that the user can read; null while loading. */
export const collections = signal(null);

/** Load all collections. Raises ApiError or NetworkError. */
export async function loadCollections() {
  const items = [];
  for await (const item of api.getAllItems("/rag/collections", { limit: 200 })) items.push(item);
  collections.value = items.sort((a, b) => a.name.localeCompare(b.name));
}

/** Return true unless the user can only read the collection *name*. */
export function isWritable(name) {
  const collection = collections.value?.find((each) => each.name === name);
  return !collection || collection.access === "write";
}

export const isProcessing = ({ status }) => status === "queued" || status === "processing";

/** The documents that match a filter `{collection, status, q}`. */
export class DocumentList extends PagedList {
  #timer = null;

  constructor() {
    super("/rag/documents", PAGE_SIZE);
  }

  /** Show the new state of *document*; add it at the top if it is new and matches the filter. */
  apply(document) {
    const isShown = super.apply(document);
    const list = this.items.peek();
    if (!isShown && list !== null && this.#matches(document)) this.items.value = [document, ...list];
  }

  #matches({ collection, status }) {
    const { q, collection: wanted, status: state } = this.filter;
    return !q && (!wanted || wanted === collection) && (!state || state === status);
  }

  /** Follow documents that are being processed, until `stopPolling`. */
  startPolling() {
    this.#timer = setInterval(() => this.#poll(), POLL_MS);
  }

  stopPolling() {
    clearInterval(this.#timer);
    this.ignoreOpenRequests();
  }

  async #poll() {
    if (document.hidden) return;
    const active = (this.items.peek() ?? []).filter(isProcessing).map(({ id }) => id);
    if (!active.length) return;
    try {
      const { documents, missing } = await readDocuments(active);
      for (const each of documents) this.apply(each);
      this.drop(new Set(missing));
    } catch {
      // The next round tries again.
    }
  }
}

export const getDocument = (id) => api.get(`/rag/documents/${id}`);
export const updateDocument = (id, changes) => api.patch(`/rag/documents/${id}`, changes);
export const reindexDocument = (id) => api.post(`/rag/documents/${id}/reindex`);
export const deleteDocument = (id) => api.remove(`/rag/documents/${id}`);
export const getChunks = (id, cursor) => api.get(`/rag/documents/${id}/chunks`, { limit: 100, cursor });
export const getContentUrl = (id) => `/rag/documents/${id}/content`;

/** Search chunks; *options* are those of POST /rag/search. */
export const searchChunks = (options, signal) => api.request("/rag/search", { method: "POST", body: options, signal }).then((response) => response.json());

export const createCollection = (fields) => api.post("/rag/collections", fields);
export const updateCollection = (id, changes) => api.patch(`/rag/collections/${id}`, changes);
export const deleteCollection = (id) => api.remove(`/rag/collections/${id}`);
export const grantAccess = (id, userId, access) => api.put(`/rag/collections/${id}/grants/${encodeURIComponent(userId)}`, { access });
export const revokeAccess = (id, userId) => api.remove(`/rag/collections/${id}/grants/${encodeURIComponent(userId)}`);

/**
 * Call `action(item)` for all *items*, four at a time.
 *
 * @returns {Promise<{done: any[], failed: {item: any, error: Error}[]}>}
 */
export async function runForAll(items, action) {
  const waiting = [...items];
  const done = [];
  const failed = [];
  const work = async () => {
    while (waiting.length) {
      const item = waiting.shift();
      try {
        await action(item);
        done.push(item);
      } catch (error) {
        failed.push({ item, error });
      }
    }
  };
  await Promise.all(Array.from({ length: MAX_PARALLEL }, work));
  return { done, failed };
}
