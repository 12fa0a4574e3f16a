// A list that is loaded page by page while the user scrolls.

import * as api from "../lib/api.js";
import { signal } from "../lib/reactive.js";

/** The items of a route of the API that match a filter. */
export class PagedList {
  /** The loaded items; null before the first page. */
  items = signal(null);
  error = signal(null);
  isComplete = signal(false);
  /** Query parameters of the route. */
  filter = {};
  #path;
  #pageSize;
  #cursor = null;
  #isLoading = false;
  #number = 0;

  constructor(path, pageSize) {
    this.#path = path;
    this.#pageSize = pageSize;
  }

  /** Load the first page. Returns false if it failed, or if the list was loaded again meanwhile. */
  async load(filter) {
    const number = ++this.#number;
    this.filter = filter;
    this.#isLoading = true;
    try {
      const page = await this.#getPage(null);
      if (number !== this.#number) return false;
      this.error.value = null;
      this.#show(page, []);
      return true;
    } catch (error) {
      if (number === this.#number) this.error.value = error;
      return false;
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
      if (number === this.#number) this.#show(page, this.items.peek());
    } finally {
      if (number === this.#number) this.#isLoading = false;
    }
  }

  /** Return the items of the first page without showing them; null if the list was loaded again. */
  async readFirstPage() {
    const number = this.#number;
    const { items } = await this.#getPage(null);
    return number === this.#number ? items : null;
  }

  /** Ignore the responses of open requests. */
  ignoreOpenRequests() {
    this.#number++;
  }

  /** Show the new state of *item*. Returns false if it is not in the list. */
  apply(item) {
    const index = this.items.peek()?.findIndex(({ id }) => id === item.id) ?? -1;
    if (index >= 0) this.items.value = this.items.peek().with(index, item);
    return index >= 0;
  }

  /** Remove items from the list. */
  drop(ids) {
    this.items.value = this.items.peek()?.filter(({ id }) => !ids.has(id)) ?? null;
  }

  #getPage(cursor) {
    return api.get(this.#path, { ...this.filter, limit: this.#pageSize, cursor });
  }

  #show({ items, next_cursor: cursor }, before) {
    const known = new Set(before.map(({ id }) => id));
    this.#cursor = cursor;
    this.isComplete.value = cursor === null;
    this.items.value = [...before, ...items.filter(({ id }) => !known.has(id))];
  }
}
