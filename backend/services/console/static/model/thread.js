// One conversation on the screen: its messages, and the answer that is being streamed.

import * as api from "../lib/api.js";
import { resumableEvents } from "../lib/events.js";
import { createId } from "../lib/random.js";
import { signal } from "../lib/reactive.js";
import { touchConversation } from "./conversations.js";
import { writeDraft } from "./drafts.js";
import { waitForFirstRequest } from "./first_request.js";
import { Message } from "./message.js";

const STREAM_OPTIONS = { stream: true, on_disconnect: "continue" };

// After a 401 in the stream, the stream is opened again with a renewed session.
const isFinal = ({ name, data }) => name === "done" || (name === "error" && data.status !== 401);

export class Thread {
  id = signal(null);
  title = signal("");
  messages = signal([]);
  isBusy = signal(false);
  isReconnecting = signal(false);
  isLoading = signal(false);
  loadError = signal(null);
  #abort = new AbortController();
  #stopsAtStart = false;

  /** Show the conversation *id*. If an answer is in progress, follow it. */
  async open(id) {
    this.id.value = id;
    this.isLoading.value = true;
    this.loadError.value = null;
    try {
      const conversation = await api.get(`/agent/sessions/${id}`, {}, { signal: this.#abort.signal });
      this.#show(conversation);
      if (conversation.state === "answering") this.#follow();
      this.#loadFeedback();
    } catch (error) {
      if (error.name !== "AbortError") this.loadError.value = error;
    } finally {
      this.isLoading.value = false;
    }
  }

  /** Stop following the answer. The run continues on the server. */
  close() {
    this.#abort.abort();
  }

  /** Load the conversation again after another tab changed it. */
  async reload() {
    if (this.isBusy.peek() || !this.id.peek()) return;
    const conversation = await api.get(`/agent/sessions/${this.id.peek()}`);
    if (this.isBusy.peek()) return;
    this.#show(conversation);
    if (conversation.state === "answering") this.#follow();
  }

  /** Send a request. A new conversation gets its id with the first event. */
  ask(text, options) {
    const body = { user_request: text, ...options };
    if (this.id.peek()) body.session_id = this.id.peek();
    // The key lets a request be repeated whose response was lost before its first event.
    const headers = { "Idempotency-Key": createId() };
    return this.#answer(this.messages.peek(), text, "/agent/query", body, headers);
  }

  /** Ask an earlier request again with another text; starts a branch. */
  edit(message, text, options) {
    const path = `/agent/sessions/${this.id.peek()}/messages/${message.id.peek()}/edit`;
    return this.#answer(this.#getMessagesBefore(message), text, path, { user_request: text, ...options });
  }

  /** Answer the request of *answer* again; starts a branch. */
  regenerate(answer, options) {
    const messageId = answer.id.peek() ?? this.#getMessagesBefore(answer).at(-1)?.id.peek();
    const path = `/agent/sessions/${this.id.peek()}/messages/${messageId}/regenerate`;
    return this.#answer(this.#getMessagesBefore(answer), null, path, { ...options });
  }

  /** Try a failed answer again: regenerate it, or send a request that was not stored. */
  retry(answer, options) {
    const before = this.#getMessagesBefore(answer);
    const request = before.at(-1);
    if (request?.id.peek()) return this.regenerate(answer, options);
    this.messages.value = before.slice(0, -1);
    return this.ask(request.text, options);
  }

  /** Show the branch that contains *messageId*. */
  async selectBranch(messageId) {
    this.#show(await api.patch(`/agent/sessions/${this.id.peek()}`, { active_message_id: messageId }));
  }

  /** Approve or reject the tool calls that *answer* waits for. */
  async decide(answer, decision) {
    const { approval } = answer.approval.peek();
    answer.approval.value = null;
    const body = { decision, approval_id: approval?.id, ...STREAM_OPTIONS };
    await this.#stream(answer, null, () => this.#post(`/agent/sessions/${this.id.peek()}/resume`, body));
    if (answer.error.peek()?.code === "approval_changed") await this.open(this.id.peek());
  }

  /** Stop the answer in progress. The text so far is kept. */
  async stop() {
    const answer = this.messages.peek().at(-1);
    if (!this.isBusy.peek()) return;
    if (answer.runId) await this.#cancel();
    else this.#stopsAtStart = true;
    if (answer.status.peek() === "writing") answer.status.value = "cancelled";
  }

  #cancel() {
    this.#stopsAtStart = false;
    return api.post(`/agent/sessions/${this.id.peek()}/cancel`);
  }

  async sendFeedback(answer, thumb, text = "") {
    const path = `/agent/sessions/${this.id.peek()}/feedback`;
    if (thumb) await api.post(path, { thumb, text, message_id: answer.id.peek() });
    else await api.remove(`${path}/${answer.id.peek()}`);
    answer.feedback.value = thumb ? { thumb, text } : null;
  }

  async #loadFeedback() {
    const list = await api.get(`/agent/sessions/${this.id.peek()}/feedback`, { limit: 200 }).catch(() => ({ items: [] }));
    const byMessage = new Map(list.items.map((entry) => [entry.message_id, entry]));
    for (const message of this.messages.peek()) message.feedback.value = byMessage.get(message.id.peek()) ?? null;
  }

  #getMessagesBefore(message) {
    const messages = this.messages.peek();
    return messages.slice(0, messages.indexOf(message));
  }

  #show(conversation) {
    this.id.value = conversation.id;
    this.title.value = conversation.title;
    const known = new Map(this.messages.peek().map((message) => [message.id.peek(), message]));
    this.messages.value = conversation.messages.map((saved) => {
      const message = known.get(saved.id) ?? new Message(saved);
      message.update(saved);
      return message;
    });
    const last = this.messages.peek().at(-1);
    if (last) last.approval.value = conversation.waiting.length ? { approval: conversation.approval, waiting: conversation.waiting } : null;
  }

  #answer(before, text, path, options, headers = {}) {
    const request = text === null ? null : new Message({ role: "user", content: text, status: "done" });
    const answer = new Message({ role: "assistant" });
    this.messages.value = [...before, ...(request ? [request] : []), answer];
    const body = { ...options, ...STREAM_OPTIONS };
    return this.#stream(answer, request, () => this.#postOnce(path, body, headers), "Idempotency-Key" in headers);
  }

  // Follow the run of the last message from its first event.
  #follow() {
    const answer = this.messages.peek().at(-1);
    if (answer?.role !== "assistant") return;
    answer.replaceText("");
    answer.steps.value = [];
    this.#stream(answer, null, () => this.#getEvents(answer, "0"), true);
  }

  #post = (path, body, headers) => api.request(path, { method: "POST", body, headers: { Accept: "text/event-stream", ...headers }, signal: this.#abort.signal });

  #postOnce = (path, body, headers) => waitForFirstRequest(() => this.#post(path, body, headers), () => (this.isReconnecting.value = true));

  #getEvents(answer, lastEventId) {
    const path = api.withQuery(`/agent/sessions/${this.id.peek()}/events`, { run_id: answer.runId });
    return api.request(path, { headers: { "Last-Event-ID": lastEventId }, signal: this.#abort.signal });
  }

  async #stream(answer, request, open, isRepeatable = false) {
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.isBusy.value = true;
    answer.error.value = null;
    answer.status.value = "writing";
    let hasStarted = false;
    this.#stopsAtStart = false;
    try {
      const events = resumableEvents({
        open,
        reopen: (lastEventId) => (hasStarted ? this.#getEvents(answer, lastEventId) : open()),
        canResume: () => hasStarted || isRepeatable,
        isFinal,
        signal,
        onRetry: (isWaiting) => (this.isReconnecting.value = isWaiting),
      });
      for await (const event of events) {
        if (event.name === "session") hasStarted = true;
        await this.#apply(answer, request, event);
      }
    } catch (error) {
      // The sign-in page replaces the conversation, which then shows the draft.
      if (request && !hasStarted && error.status === 401) writeDraft(this.id.peek(), request.text);
      if (!signal.aborted) answer.fail(error);
    } finally {
      this.isReconnecting.value = false;
      this.isBusy.value = false;
    }
    if (!signal.aborted && this.id.peek()) await this.#refresh();
  }

  #apply(answer, request, { name, data }) {
    switch (name) {
      case "session":
        answer.runId = data.run_id;
        answer.id.value = data.message_id;
        if (request) request.id.value = data.parent_id;
        this.id.value = data.session_id;
        return this.#stopsAtStart ? this.#cancel() : undefined;
      case "token":
        answer.progress.value = null;
        return answer.appendText(data.text);
      case "tool_start":
        return answer.addStep(data);
      case "tool_end":
        return answer.endStep(data);
      case "progress":
        answer.progress.value = data;
        return;
      case "citations":
        answer.citations.value = data.citations;
        return;
      case "approval":
        answer.approval.value = data;
        return;
      case "done":
        return answer.complete(data);
      case "error":
        if (data.status === 401) return;
        return answer.fail(new api.ApiError(data, data.status));
    }
  }

  // The stored conversation has the alternatives, and a title for a new conversation.
  async #refresh() {
    const conversation = await api.get(`/agent/sessions/${this.id.peek()}`).catch(() => null);
    if (!conversation || this.isBusy.peek()) return;
    this.#show(conversation);
    touchConversation(conversation);
  }
}
