// The conversation of the visitor: what is stored, what is being sent, and what follows.
// While the chat is visible, changes come as events, or by polling if the server has no free stream.
// While it is hidden, the messages are requested every 20 seconds.

import { ApiError, createId } from "./api.js";
import { isFinal, pause, wait } from "./retries.js";

const POLL_MS = 3000;
const HIDDEN_POLL_MS = 20_000;
const STREAM_RETRY_MS = 60_000;
const TYPING_MS = 3000;
const READ_MS = 400;
const COLLEAGUE_TYPING_MS = 6000;
// Without progress for this time, the agent has stopped: it failed, or its process has ended.
const DRAFT_LIFETIME_MS = 60_000;

export class Conversation extends EventTarget {
  /** @param {import("./api.js").VisitorApi} api */
  constructor(api) {
    super();
    this.api = api;
    this.messages = new Map(); // by id
    this.outgoing = []; // { id, text, error } not confirmed by the server
    this.draft = null; // text of the answer that is being written
    this.state = null;
    this.isConnected = true;
    this.isWaiting = false; // for an answer of the agent
    this.isColleagueTyping = false;
    this.readSeq = 0;
    this.lastChange = 0;
    this.isVisible = true;
    this.following = null;
    this.isStarting = false;
    this.typedAt = 0;
  }

  /** The messages in the order of arrival. */
  get list() {
    return [...this.messages.values()].sort((first, second) => first.seq - second.seq);
  }

  get lastSeq() {
    return Math.max(0, ...[...this.messages.values()].map(({ seq }) => seq));
  }

  get unreadCount() {
    return this.list.filter(({ seq, author }) => author !== "visitor" && seq > this.readSeq).length;
  }

  /** Load the conversation of a visitor who has been here before, or writes in another tab. */
  async start() {
    if (this.isStarting || this.following || !this.api.hasToken) return;
    this.isStarting = true;
    try {
      await this.loadWhenConnected();
      this.readSeq = this.lastSeq;
      if (this.state) this.follow();
    } catch (error) {
      this.fail(error);
    }
    this.isStarting = false;
    this.changed();
  }

  async loadWhenConnected() {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.load();
      } catch (error) {
        if (isFinal(error)) throw error;
        this.setConnected(false);
        await pause(attempt);
      }
    }
  }

  async load() {
    const page = await this.api.call("GET", "/messages?limit=100");
    this.setConnected(true);
    if (page.state === null && this.messages.size > 0) return this.clear();
    for (const message of page.items) this.add(message);
    if (page.state) this.setState(page.state);
    this.lastChange = Math.max(this.lastChange, page.change_seq);
    this.changed();
  }

  send(text) {
    const message = { id: createId(), text, error: null };
    this.outgoing.push(message);
    return this.deliver(message);
  }

  /** Send an outgoing message, also again: the server stores it once. */
  async deliver(message) {
    message.error = null;
    this.changed();
    try {
      const stored = await this.api.call("POST", "/messages", { content: message.text, client_id: message.id });
      this.add(stored);
      // The answer can arrive before the response to this request.
      const isAnswered = this.list.some(({ author, seq }) => author !== "visitor" && seq > stored.seq);
      this.isWaiting = !isAnswered && this.state.mode === "bot";
      this.follow();
    } catch (error) {
      message.error = error instanceof ApiError ? error : new ApiError(0, String(error));
      if (error.code === "account_stopped") this.fail(error);
    }
    this.changed();
  }

  setVisible(isVisible) {
    if (isVisible === this.isVisible) return;
    this.isVisible = isVisible;
    if (isVisible) this.markRead();
    if (isVisible) this.start();
    if (!this.following) return;
    this.following.abort();
    this.following = null;
    this.follow();
  }

  /** Show the team that the visitor types, at most every three seconds. */
  typed() {
    if (!this.state || Date.now() - this.typedAt < TYPING_MS) return;
    this.typedAt = Date.now();
    this.api.call("POST", "/typing", { typing: true }).catch(() => {});
  }

  markRead() {
    if (!this.isVisible || this.lastSeq <= this.readSeq) return;
    this.readSeq = this.lastSeq;
    clearTimeout(this.readTimer);
    this.readTimer = setTimeout(() => this.api.call("PUT", "/read", { seq: this.readSeq }).catch(() => {}), READ_MS);
  }

  follow() {
    if (this.following) return;
    this.following = new AbortController();
    this.run(this.following.signal).catch((error) => this.fail(error));
  }

  async run(signal) {
    for (let attempt = 0; !signal.aborted; ) {
      try {
        if (this.isVisible) await this.readStream(signal);
        else await this.poll(signal, HIDDEN_POLL_MS, Infinity);
        attempt = 0;
        await pause(0, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error.code === "conversation_not_found") return this.clear();
        if (error.code === "too_many_streams") {
          await this.poll(signal, POLL_MS, STREAM_RETRY_MS).catch(() => {});
        } else if (isFinal(error)) {
          if (error.status === 401) this.api.setToken(null);
          throw error;
        } else {
          this.setConnected(false);
          await pause(attempt++, signal);
        }
      }
    }
  }

  async readStream(signal) {
    for await (const { id, name, data } of this.api.readEvents(this.lastChange, signal)) {
      this.setConnected(true);
      if (name === "deleted") return this.clear();
      this.apply(name, data);
      if (id) this.lastChange = Math.max(this.lastChange, Number(id));
    }
  }

  async poll(signal, interval, duration) {
    for (const end = Date.now() + duration; Date.now() < end && !signal.aborted; ) {
      await this.load();
      await wait(interval, signal);
    }
  }

  apply(name, data) {
    if (name === "message") this.add(data);
    else if (name === "state") this.setState(data);
    else if (name === "delta") this.addDelta(data);
    else if (name === "typing") this.setColleagueTyping(data.typing);
    if (this.state?.has_failed || this.state?.mode === "human") this.isWaiting = false;
    if (name !== "open") this.changed();
  }

  /** The text that the agent is writing is not stored if it fails, or if a colleague takes over. */
  setState(state) {
    if (state.mode === "human" || (state.has_failed && !this.state?.has_failed)) this.setDraft(null);
    this.state = state;
  }

  add(message) {
    const isNew = !this.messages.has(message.id);
    this.messages.set(message.id, message);
    this.outgoing = this.outgoing.filter(({ id }) => id !== message.client_id);
    this.state ??= { status: "open", mode: "bot", has_failed: false };
    if (message.author !== "visitor" && isNew) {
      this.setDraft(null);
      this.isWaiting = false;
      this.setColleagueTyping(false);
      this.dispatchEvent(new CustomEvent("arrived", { detail: message }));
    }
  }

  /** Add text to the answer that is being written. Offsets count code points. */
  addDelta({ offset, text }) {
    if (offset === 0) this.setDraft(text);
    else if (this.draft !== null && [...this.draft].length === offset) this.setDraft(this.draft + text);
    this.isWaiting = false;
  }

  setDraft(text) {
    clearTimeout(this.draftTimer);
    this.draft = text;
    if (text !== null) this.draftTimer = setTimeout(() => this.setDraft(null) ?? this.changed(), DRAFT_LIFETIME_MS);
  }

  setColleagueTyping(isTyping) {
    clearTimeout(this.typingTimer);
    this.isColleagueTyping = isTyping;
    if (isTyping) this.typingTimer = setTimeout(() => this.setColleagueTyping(false) ?? this.changed(), COLLEAGUE_TYPING_MS);
  }

  setConnected(isConnected) {
    if (isConnected === this.isConnected) return;
    this.isConnected = isConnected;
    this.changed();
  }

  /** The team has deleted the conversation. */
  clear() {
    this.following?.abort();
    this.setDraft(null);
    Object.assign(this, { messages: new Map(), state: null, lastChange: 0, readSeq: 0, isWaiting: false, following: null });
    this.changed();
  }

  fail(error) {
    this.following = null;
    this.dispatchEvent(new CustomEvent("failed", { detail: error }));
  }

  changed() {
    this.dispatchEvent(new Event("changed"));
  }
}
