// Typing indicators of a conversation of the inbox: shows those of others, and sends the user's.

import * as api from "../lib/api.js";
import { signal } from "../lib/reactive.js";

const LIFETIME_MS = 6000;
const INTERVAL_MS = 4000;

export class Typing {
  /** Actors who type, without the user. */
  actors = signal(new Set());
  #path;
  #timers = new Map();
  #sentAt = 0;

  /** @param {string} path address of the conversation */
  constructor(path) {
    this.#path = path;
  }

  close() {
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  /** Apply an event. The actor types until the next event, but not longer than six seconds. */
  apply({ actor, typing }) {
    this.clear(actor);
    if (!typing) return;
    this.actors.value = new Set([...this.actors.peek(), actor]);
    this.#timers.set(actor, setTimeout(() => this.clear(actor), LIFETIME_MS));
  }

  clear(actor) {
    clearTimeout(this.#timers.get(actor));
    if (this.actors.peek().has(actor)) this.actors.value = new Set([...this.actors.peek()].filter((each) => each !== actor));
  }

  /** Send whether the user types; at most every four seconds. */
  send(isTyping) {
    const now = Date.now();
    if (isTyping ? now - this.#sentAt < INTERVAL_MS : this.#sentAt === 0) return;
    this.#sentAt = isTyping ? now : 0;
    api.post(`${this.#path}/typing`, { typing: isTyping }).catch(() => {});
  }
}
