// The list of conversations of the team inbox: pages, and changes as they happen.

import * as api from "../lib/api.js";
import { signal } from "../lib/reactive.js";
import { LiveConnection } from "./live.js";

const TOPIC = "chat:inbox";
const PAGE_SIZE = 100;
// As many ids as the server accepts in one request.
const MAX_IDS = 100;

const compare = (first, second) => compareTexts(second.updated_at, first.updated_at) || compareTexts(second.id, first.id);
const compareTexts = (first, second) => (first < second ? -1 : first > second ? 1 : 0);

export class InboxList {
  /** Conversations, most recently changed first; null before they are loaded. */
  conversations = signal(null);
  error = signal(null);
  isComplete = signal(false);
  /** True while changes arrive without a reload. */
  isLive = signal(false);
  #filter = {};
  #cursor = null;
  #load = null;
  #isLoadingMore = false;
  #changed = new Set();
  #isRefreshing = false;
  #connection = null;
  #onAccountChange;

  /** @param {() => void} onAccountChange called when a channel can or cannot send any more */
  constructor(onAccountChange = () => {}) {
    this.#onAccountChange = onAccountChange;
  }

  /** Load the first page for *filter*, the parameters of GET /chat/conversations. */
  async load(filter = this.#filter) {
    this.#filter = filter;
    this.#load?.abort();
    const load = (this.#load = new AbortController());
    this.error.value = null;
    try {
      const page = await this.#getPage(null, load.signal);
      this.#cursor = page.next_cursor;
      this.isComplete.value = page.next_cursor === null;
      this.conversations.value = page.items;
    } catch (error) {
      if (!load.signal.aborted && error.status !== 401) this.error.value = error;
    }
  }

  async loadMore() {
    if (this.#isLoadingMore || this.#cursor === null) return;
    this.#isLoadingMore = true;
    const load = this.#load;
    try {
      const page = await this.#getPage(this.#cursor, load.signal);
      this.#cursor = page.next_cursor;
      this.#merge(page.items);
      this.isComplete.value = page.next_cursor === null;
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    } finally {
      this.#isLoadingMore = false;
    }
  }

  #getPage = (cursor, abortSignal) => api.get("/chat/conversations", { limit: PAGE_SIZE, ...this.#filter, cursor }, { signal: abortSignal });

  /** Follow changes of all conversations until `stop()`. */
  start() {
    this.#connection = new LiveConnection([TOPIC], {
      isLive: this.isLive,
      onEvent: (event) => this.#handle(event),
      onReady: () => this.#reloadFirstPage(),
    });
    this.#connection.open();
  }

  #handle({ type, data }) {
    if (type === "chat.account-changed") {
      this.#reloadFirstPage();
      this.#onAccountChange();
    } else if (data.deleted) this.remove(data.conversation_id);
    else this.refresh(data.conversation_id);
  }

  stop() {
    this.#connection?.close();
    this.#load?.abort();
  }

  /** What changed before the subscription is in the first page. */
  async #reloadFirstPage() {
    if (!this.conversations.peek() || !this.#load) return;
    const page = await this.#getPage(null, this.#load.signal).catch(() => null);
    if (page) this.#merge(page.items);
  }

  /** Load a conversation again. One that the filter no longer selects is removed. */
  async refresh(id) {
    this.#changed.add(id);
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    try {
      // Changes that arrive during a request are loaded together with the next one.
      while (this.#changed.size) await this.#loadChanged();
    } finally {
      this.#isRefreshing = false;
    }
  }

  async #loadChanged() {
    const ids = [...this.#changed].slice(0, MAX_IDS);
    for (const id of ids) this.#changed.delete(id);
    const load = this.#load;
    const page = await api.get("/chat/conversations", { ...this.#filter, ids: ids.join(","), limit: MAX_IDS }, { signal: load?.signal }).catch(() => null);
    if (!page || load?.signal.aborted) return;
    const selected = new Set(page.items.map((item) => item.id));
    this.#merge(page.items, new Set(ids.filter((each) => !selected.has(each))));
  }

  remove(id) {
    this.#merge([], new Set([id]));
  }

  /** Replace a conversation that is in the list. */
  apply(conversation) {
    const known = this.conversations.peek()?.find(({ id }) => id === conversation.id);
    if (known && known.change_seq <= conversation.change_seq) this.#merge([{ ...known, ...conversation }]);
  }

  #merge(items, removed = new Set()) {
    const known = this.conversations.peek();
    if (!known) return;
    const positions = new Map(known.map((item) => [item.id, item.read_seq]));
    // What was read in this tab may not be stored yet.
    const fresh = items.map((item) => ({ ...item, read_seq: Math.max(item.read_seq, positions.get(item.id) ?? 0) }));
    const changed = new Map(fresh.map((item) => [item.id, item]));
    const kept = known.filter(({ id }) => !removed.has(id) && !changed.has(id));
    const last = this.isComplete.peek() || !known.length ? null : known[known.length - 1];
    // A conversation behind the last loaded one belongs to a page that is not loaded yet.
    const added = fresh.filter((item) => last === null || this.#isLoadingMore || compare(item, last) <= 0);
    this.conversations.value = [...kept, ...added].sort(compare);
  }
}
