// One conversation of the team inbox: messages as they arrive, answers, notes, hand-over.

import * as api from "../lib/api.js";
import { readEvents } from "../lib/events.js";
import { createId } from "../lib/random.js";
import { signal } from "../lib/reactive.js";
import { Typing } from "./inbox_typing.js";
import { user } from "./session.js";

const RETRY_DELAYS_MS = [500, 1000, 2000, 4000, 8000];
const PAGE_SIZE = 100;
// Without progress for this time, the agent has stopped: it failed, or its process has ended.
const DRAFT_LIFETIME_MS = 60_000;

const inOrder = (first, second) => (first.sent_at < second.sent_at ? -1 : first.sent_at > second.sent_at ? 1 : first.seq - second.seq);

export class InboxConversation {
  /** The conversation without messages; null before it is loaded. */
  conversation = signal(null);
  /** Messages in the order in which they are shown, without those that are being sent. */
  messages = signal([]);
  /** Own messages that the server has not stored: { client_id, content, label, internal, error }. */
  pending = signal([]);
  /** Files of the answer that is being written; see inbox_uploads.js. */
  files = signal([]);
  error = signal(null);
  isDeleted = signal(false);
  isInterrupted = signal(false);
  hasEarlier = signal(false);
  /** Text of the answer that the agent is writing; null if it writes none. */
  draft = signal(null);
  /** Id of the person whose answer ended the agent's; null without one. */
  interruptedBy = signal(null);
  /** Id of the person who claimed the conversation first; null without such a conflict. */
  takenBy = signal(null);
  #abort = new AbortController();
  #position = 0;
  #draftTimer = null;
  #onChange;

  /** @param {(conversation: object) => void} onChange called with each new state */
  constructor(id, onChange) {
    this.id = id;
    this.path = `/chat/conversations/${encodeURIComponent(id)}`;
    this.typing = new Typing(this.path);
    this.#onChange = onChange;
  }

  /** Load the conversation and follow its changes until `close()`. */
  async open() {
    this.error.value = null;
    try {
      await this.#load();
    } catch (error) {
      if (error.name !== "AbortError") this.error.value = error;
      return;
    }
    this.#follow();
  }

  close() {
    this.#abort.abort();
    clearTimeout(this.#draftTimer);
    this.typing.close();
    for (const { abort } of this.files.peek()) abort.abort();
  }

  async #load() {
    const { messages, participants, ...conversation } = await api.get(this.path, {}, { signal: this.#abort.signal });
    this.#position = conversation.change_seq;
    this.hasEarlier.value = messages.length > 0 && messages[0].seq > 1;
    this.#setMessages(messages);
    this.#setConversation(conversation);
  }

  async #follow() {
    for (let attempt = 0; !this.#abort.signal.aborted; attempt++) {
      try {
        const headers = { Accept: "text/event-stream", "Last-Event-ID": String(this.#position) };
        for await (const event of readEvents(await api.request(`${this.path}/events`, { headers, signal: this.#abort.signal }))) {
          attempt = 0;
          this.isInterrupted.value = false;
          if (event.id !== null) this.#position = Number(event.id);
          this.#handle(event);
        }
      } catch (error) {
        if (this.#abort.signal.aborted || error.status === 401) return;
        // Deleted while there was no connection.
        if (error.status === 404) return (this.isDeleted.value = true);
        this.isInterrupted.value = attempt > 0;
      }
      if (this.isDeleted.peek()) return;
      await this.#wait(RETRY_DELAYS_MS[Math.min(attempt, RETRY_DELAYS_MS.length - 1)]);
    }
  }

  #wait(delay) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#abort.signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }

  #handle({ name, data }) {
    if (name === "message") this.#applyMessage(data);
    else if (name === "conversation") this.#setConversation(data);
    else if (name === "typing" && data.actor !== `user:${user.peek()?.id}`) this.typing.apply(data);
    else if (name === "delta") this.#applyDelta(data);
    else if (name === "step") this.#setDraft(this.draft.peek() ?? "");
    else if (name === "deleted") this.isDeleted.value = true;
  }

  #applyMessage(message) {
    this.#setMessages([message]);
    if (message.author === "agent") this.draft.value = null;
    this.typing.clear(message.author);
    const conversation = this.conversation.peek();
    if (message.seq > conversation.last_seq) this.#setConversation({ ...conversation, last_seq: message.seq, change_seq: message.change_seq });
  }

  #setMessages(changed) {
    const known = new Map(this.messages.peek().map((message) => [message.id, message]));
    for (const message of changed) {
      if ((known.get(message.id)?.change_seq ?? -1) <= message.change_seq) known.set(message.id, message);
    }
    const clientIds = new Set(changed.map((message) => message.client_id));
    if (this.pending.peek().some((each) => clientIds.has(each.client_id))) this.pending.value = this.pending.peek().filter((each) => !clientIds.has(each.client_id));
    this.messages.value = [...known.values()].sort(inOrder);
  }

  #setConversation(conversation) {
    const previous = this.conversation.peek();
    this.conversation.value = { ...previous, ...conversation };
    const { mode, assignee_id: assignee } = conversation;
    if (assignee === null || assignee === user.peek()?.id) this.takenBy.value = null;
    if (conversation.answer_error) this.draft.value = null;
    // The agent does not send what it was writing when a person answered.
    if (mode !== "bot" && this.draft.peek() !== null) {
      this.draft.value = null;
      this.interruptedBy.value = assignee;
    } else if (mode === "bot") this.interruptedBy.value = null;
    this.#onChange(this.conversation.peek());
  }

  #applyDelta({ offset, text }) {
    this.interruptedBy.value = null;
    // Offsets count code points, as Python does.
    this.#setDraft([...(this.draft.peek() ?? "")].slice(0, offset).join("") + text);
  }

  #setDraft(text) {
    clearTimeout(this.#draftTimer);
    this.draft.value = text;
    this.#draftTimer = setTimeout(() => (this.draft.value = null), DRAFT_LIFETIME_MS);
  }

  /** Load older messages. */
  async loadEarlier() {
    const first = Math.min(...this.messages.peek().map(({ seq }) => seq));
    const page = await api.get(`${this.path}/messages`, { before_seq: first, limit: PAGE_SIZE });
    this.#setMessages(page.items);
    this.hasEarlier.value = page.has_more;
  }

  /** Load older messages until the one with *seq* is there. */
  async loadMessage(seq) {
    while (this.hasEarlier.peek() && !this.messages.peek().some((message) => message.seq <= seq)) await this.loadEarlier();
  }

  async markRead() {
    const { last_seq: last, read_seq: read } = this.conversation.peek();
    if (last <= read) return;
    this.#setConversation({ ...this.conversation.peek(), read_seq: last });
    await api.put(`${this.path}/read`, { seq: last });
  }

  /** Send an answer or an internal note. One that is not stored stays in `pending` with its error. */
  send(content, { internal = false, label = null } = {}) {
    const entry = { client_id: createId(), content, label, internal, error: null };
    this.pending.value = [...this.pending.peek(), entry];
    return this.#post(entry);
  }

  resend(clientId) {
    const entry = this.pending.peek().find((each) => each.client_id === clientId);
    return entry && this.#post(this.#replacePending({ ...entry, error: null }));
  }

  discard(clientId) {
    this.pending.value = this.pending.peek().filter((each) => each.client_id !== clientId);
  }

  #replacePending(entry) {
    this.pending.value = this.pending.peek().map((each) => (each.client_id === entry.client_id ? entry : each));
    return entry;
  }

  async #post(entry) {
    const { client_id, content, internal } = entry;
    try {
      this.#setMessages([await api.post(`${this.path}/messages`, { content, client_id, internal })]);
      return true;
    } catch (error) {
      this.#replacePending({ ...entry, error });
      await this.#readConflict(error);
      return false;
    }
  }

  /** Change status, mode or assignee. Resolves to false if a colleague claimed it first. */
  async change(changes) {
    try {
      this.#setConversation(await api.patch(this.path, changes));
      return true;
    } catch (error) {
      if (!(await this.#readConflict(error))) throw error;
      return false;
    }
  }

  claim() {
    return this.change({ assignee_id: user.peek().id, mode: "human", expected_assignee_id: this.conversation.peek().assignee_id });
  }

  /** After "taken", load who has the conversation. Resolves to false for other errors. */
  async #readConflict(error) {
    if (error.code !== "taken" && error.code !== "window_closed") return false;
    await this.reload();
    if (error.code === "taken") this.takenBy.value = this.conversation.peek().assignee_id;
    return true;
  }

  /** Load the state of the conversation and its channel again. */
  async reload() {
    const { messages, participants, ...conversation } = await api.get(this.path);
    if (!this.#abort.signal.aborted) this.#setConversation(conversation);
  }
}
