// A request or an answer of a conversation.

import { createId } from "../lib/random.js";
import { signal } from "../lib/reactive.js";

export class Message {
  #listeners = new Set();

  /** @param {object} saved a message of GET /agent/sessions/{id}, or { role, content } of a new one */
  constructor(saved) {
    this.key = saved.id ?? createId();
    this.role = saved.role;
    this.createdAt = saved.created_at ?? new Date().toISOString();
    this.text = saved.content ?? "";
    this.id = signal(saved.id ?? null);
    this.parentId = saved.parent_id ?? null;
    this.runId = saved.run_id ?? null;
    this.status = signal(saved.status ?? "writing");
    this.citations = signal(saved.citations ?? []);
    this.steps = signal(saved.steps ?? []);
    this.alternatives = signal(saved.alternatives ?? []);
    this.info = signal(saved.model ? getInfo(saved) : null);
    this.progress = signal(null);
    this.approval = signal(null);
    this.error = signal(null);
    this.feedback = signal(null);
    this.hasText = signal(this.text !== "");
  }

  /** Call `listener(added)` with text that is added, or `listener(null)` if the text is replaced. */
  onText(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  appendText(added) {
    this.text += added;
    this.hasText.value = true;
    for (const listener of this.#listeners) listener(added);
  }

  replaceText(text) {
    if (text === this.text) return;
    this.text = text;
    this.hasText.value = text !== "";
    for (const listener of this.#listeners) listener(null);
  }

  /** Apply the stored state of the message, except text that is being written. */
  update(saved) {
    this.id.value = saved.id;
    this.parentId = saved.parent_id;
    this.runId = saved.run_id;
    if (saved.alternatives.join() !== this.alternatives.peek().join()) this.alternatives.value = saved.alternatives;
    if (saved.status === "writing") return;
    this.replaceText(saved.content);
    if (saved.citations.length !== this.citations.peek().length) this.citations.value = saved.citations;
    if (!this.steps.peek().length) this.steps.value = saved.steps;
    if (saved.model) this.info.value = getInfo(saved);
    if (this.status.peek() !== "failed" || saved.status !== "failed") this.status.value = saved.status;
  }

  addStep({ id, tool, arguments: parameters }) {
    this.steps.value = [...this.steps.peek(), { id, tool, arguments: parameters, status: "running", took_ms: 0 }];
  }

  endStep({ id, status, took_ms }) {
    this.steps.value = this.steps.peek().map((step) => (step.id === id ? { ...step, status, took_ms } : step));
  }

  /** Apply the final event of a run, the body of POST /agent/query. */
  complete(answer) {
    this.replaceText(answer.response);
    this.citations.value = answer.citations;
    this.info.value = getInfo(answer);
    this.progress.value = null;
    this.steps.value = mergeSteps(this.steps.peek(), answer.steps);
    this.status.value = answer.waiting.length ? "waiting" : answer.finish_reason === "cancelled" ? "cancelled" : "done";
  }

  fail(error) {
    this.error.value = error;
    this.progress.value = null;
    this.status.value = "failed";
  }
}

function getInfo({ model, took_ms, usage }) {
  return { model, took_ms, tokens: usage ? usage.prompt_tokens + usage.completion_tokens : 0, usage };
}

// The list of the final event is complete; the steps on the screen keep their identity.
function mergeSteps(shown, final) {
  return final.map((step, index) => ({ id: shown[index]?.id, ...step }));
}
