// A WebSocket on topics of the realtime service, which connects again after it was interrupted.
//
//   const { isLive } = followTopics(["packages"], { onEvent, onReady })    until the scope ends
//
// An event is `{id, type, time, data}`. `onReady` is called after each subscription: what it
// loads contains all earlier events.

import * as api from "../lib/api.js";
import { onDispose, signal } from "../lib/reactive.js";

const MIN_DELAY_MS = 1000;
const MAX_DELAY_MS = 30_000;
// Close codes after which the server does not accept the client again.
const FINAL_CODES = new Set([3500, 3501, 3504]);
const FIRST_SUBSCRIPTION = 2;

/** Follow *topics* until the surrounding scope ends. */
export function followTopics(topics, options) {
  const connection = new LiveConnection(topics, options);
  onDispose(() => connection.close());
  connection.open();
  return connection;
}

/**
 * @typedef {object} LiveOptions
 * @property {(event: {id: string, type: string, data: any}, topic: string) => void} onEvent
 * @property {() => Promise<void>} [prepare] runs before each attempt to connect
 * @property {() => void} [onReady] runs after each subscription
 * @property {import("../lib/reactive.js").Signal<boolean>} [isLive]
 */
export class LiveConnection {
  #topics;
  #options;
  #socket = null;
  #timer = null;
  #delay = MIN_DELAY_MS;
  #isClosed = false;

  /** @param {string[]} topics @param {LiveOptions} options */
  constructor(topics, options) {
    this.#topics = topics;
    this.#options = options;
    /** True while events arrive. */
    this.isLive = options.isLive ?? signal(false);
  }

  async open() {
    try {
      await this.#options.prepare?.();
      const { ticket } = await api.post("/realtime/tickets");
      if (!this.#isClosed) this.#connect(ticket);
    } catch (error) {
      if (error.status !== 401) this.#retry();
    }
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.isLive.value = false;
  }

  #connect(ticket) {
    const url = new URL("/ws/connect", window.location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("ticket", ticket);
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.addEventListener("open", () => socket.send(this.#getCommands()));
    socket.addEventListener("message", ({ data }) => {
      for (const line of data.split("\n")) if (line) this.#handle(JSON.parse(line));
    });
    socket.addEventListener("close", ({ code }) => {
      this.isLive.value = false;
      if (!this.#isClosed && !FINAL_CODES.has(code)) this.#retry();
    });
  }

  #getCommands() {
    const subscriptions = this.#topics.map((channel, index) => ({ id: FIRST_SUBSCRIPTION + index, subscribe: { channel } }));
    return [{ id: 1, connect: {} }, ...subscriptions].map((command) => JSON.stringify(command)).join("\n");
  }

  #handle(frame) {
    // An empty frame is a ping; the answer is an empty frame.
    if (Object.keys(frame).length === 0) return this.#socket.send("{}");
    if (frame.id === FIRST_SUBSCRIPTION && frame.subscribe) {
      this.#delay = MIN_DELAY_MS;
      this.isLive.value = true;
      this.#options.onReady?.();
    }
    const { channel, pub } = frame.push ?? {};
    if (this.#topics.includes(channel) && pub?.data) this.#options.onEvent(pub.data, channel);
  }

  #retry() {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => this.open(), this.#delay * (0.5 + Math.random() / 2));
    this.#delay = Math.min(MAX_DELAY_MS, this.#delay * 2);
  }
}

/**
 * Return a function that calls *run* at most once in *interval* ms: now, or at the end of the
 * interval. Nothing is called after the surrounding scope has ended.
 */
export function createThrottle(run, interval) {
  let timer = null;
  let last = -Infinity;
  onDispose(() => clearTimeout(timer));
  return () => {
    if (timer !== null) return;
    const wait = Math.max(0, last + interval - performance.now());
    timer = setTimeout(() => {
      timer = null;
      last = performance.now();
      run();
    }, wait);
  };
}
