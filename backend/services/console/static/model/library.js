// Documents and collections of the user.

import * as api from "../lib/api.js";
import { signal } from "../lib/reactive.js";
import { readDocuments } from "./document_polling.js";

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

/** The documents that match a filter, loaded page by page while the user scrolls. */
export class DocumentList {
  documents = signal(null);
  error = signal(null);
  isComplete = signal(false);
  #filter = {};
  #cursor = null;
  #isLoading = false;
  #number = 0;
  #timer = null;

  /** Load the first page for `{collection, status, q}`. */
  async load(filter) {
    const number = ++this.#number;
    this.#filter = filter;
    this.#isLoading = true;
    try {
      const page = await this.#getPage(null);
      if (number !== this.#number) return;
      this.error.value = null;
      this.#show(page, []);
    } catch (error) {
      if (number === this.#number) this.error.value = error;
    } finally {
      if (number === this.#number) this.#isLoading = false;
    }
  }

  /** Load the next page, if there is one and no other request is open. */
  async loadMore() {
    if (this.#isLoading || this.#cursor === null) return;
    const number = this.#number;
    this.#isLoading = true;
    try {
      const page = await this.#getPage(this.#cursor);
      if (number === this.#number) this.#show(page, this.documents.peek());
    } finally {
      if (number === this.#number) this.#isLoading = false;
    }
  }

  #getPage(cursor) {
    return api.get("/rag/documents", { ...this.#filter, limit: PAGE_SIZE, cursor });
  }

  #show({ items, next_cursor: cursor }, before) {
    const known = new Set(before.map(({ id }) => id));
    this.#cursor = cursor;
    this.isComplete.value = cursor === null;
    this.documents.value = [...before, ...items.filter(({ id }) => !known.has(id))];
  }

  /** Show the new state of *document*; add it at the top if it is new and matches the filter. */
  apply(document) {
    const list = this.documents.peek();
    if (list === null) return;
    const index = list.findIndex(({ id }) => id === document.id);
    if (index >= 0) this.documents.value = list.with(index, document);
    else if (this.#matches(document)) this.documents.value = [document, ...list];
  }

  #matches({ collection, status }) {
    const { q, collection: wanted, status: state } = this.#filter;
    return !q && (!wanted || wanted === collection) && (!state || state === status);
  }

  /** Remove documents from the list. */
  drop(ids) {
    this.documents.value = this.documents.peek().filter(({ id }) => !ids.has(id));
  }

  /** Follow documents that are being processed, until `stopPolling`. */
  startPolling() {
    this.#timer = setInterval(() => this.#poll(), POLL_MS);
  }

  stopPolling() {
    clearInterval(this.#timer);
    this.#number++;
  }

  async #poll() {
    if (document.hidden) return;
    const active = (this.documents.peek() ?? []).filter(isProcessing).map(({ id }) => id);
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
