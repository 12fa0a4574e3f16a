// Notifications of the user: list, number of unread ones, live in every tab.

import * as api from "../lib/api.js";
import { onDispose, signal } from "../lib/reactive.js";
import { unreadCount } from "./unread_count.js";

export { unreadCount };

const PAGE_SIZE = 50;
const MIN_DELAY_MS = 1000;
const MAX_DELAY_MS = 30_000;
const TOPIC = "user";
const STORAGE_NAME = "browser_notifications";
// Close codes after which the server does not accept the client again.
const FINAL_CODES = new Set([3500, 3501, 3504]);

/** Notifications, latest first; null before they are loaded. */
export const notifications = signal(null);
export const hasMore = signal(false);
/** True while new notifications arrive without a reload. */
export const isLive = signal(false);
export const areBrowserNotificationsOn = signal(window.localStorage.getItem(STORAGE_NAME) === "on");

const channel = new BroadcastChannel("notifications");
let cursor = null;

/** Load the latest notifications. */
export async function loadNotifications() {
  const page = await api.get("/realtime/notifications", { limit: PAGE_SIZE });
  cursor = page.next_cursor;
  hasMore.value = cursor !== null;
  unreadCount.value = page.unread;
  notifications.value = withReadState(page.items, page.read_offset);
}

const withReadState = (items, readOffset) => items.map((item) => ({ ...item, isRead: item.offset <= readOffset }));

export async function loadMoreNotifications() {
  const page = await api.get("/realtime/notifications", { limit: PAGE_SIZE, cursor });
  cursor = page.next_cursor;
  hasMore.value = cursor !== null;
  notifications.value = [...notifications.peek(), ...withReadState(page.items, page.read_offset)];
}

/** Mark *notification* and all older ones as read, in all tabs. */
export async function markRead({ offset }) {
  const state = await api.put("/realtime/notifications/read", { offset });
  applyReadState(state);
  channel.postMessage(state);
}

function applyReadState({ read_offset: readOffset, unread }) {
  unreadCount.value = unread;
  if (notifications.peek()) notifications.value = withReadState(notifications.peek(), readOffset);
}

/** Follow the notifications until the surrounding scope ends. */
export function startNotifications() {
  const connection = new Connection();
  const applyMessage = ({ data }) => applyReadState(data);
  channel.addEventListener("message", applyMessage);
  onDispose(() => {
    connection.close();
    channel.removeEventListener("message", applyMessage);
    notifications.value = null;
    unreadCount.value = 0;
  });
  connection.open();
}

function addNotification(notification) {
  const list = notifications.peek() ?? [];
  if (list.some(({ id }) => id === notification.id)) return;
  notifications.value = [{ ...notification, isRead: false }, ...list];
  unreadCount.value++;
  showBrowserNotification(notification);
}

/** Outside of the visible tab, show the notification by the system. One tag: one of several tabs. */
function showBrowserNotification({ id, title, link }) {
  if (!document.hidden || !areBrowserNotificationsOn.peek() || window.Notification?.permission !== "granted") return;
  const shown = new Notification(title, { tag: id, icon: document.querySelector('link[rel="icon"]')?.href });
  shown.addEventListener("click", () => {
    window.focus();
    if (link.startsWith("/")) window.location.assign(`/console${link.replace(/^\/console(?=\/)/, "")}`);
  });
}

/** Turn notifications by the system on, which asks the user, or off. Resolves to the new state. */
export async function setBrowserNotifications(isOn) {
  const isAllowed = isOn && (await window.Notification?.requestPermission()) === "granted";
  areBrowserNotificationsOn.value = isAllowed;
  if (isAllowed) window.localStorage.setItem(STORAGE_NAME, "on");
  else window.localStorage.removeItem(STORAGE_NAME);
  return isAllowed;
}

/** A WebSocket on the topic of the user, which connects again after it was interrupted. */
class Connection {
  #socket = null;
  #timer = null;
  #delay = MIN_DELAY_MS;
  #isClosed = false;

  async open() {
    try {
      await loadNotifications();
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
    isLive.value = false;
  }

  #connect(ticket) {
    const url = new URL("/ws/connect", window.location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("ticket", ticket);
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.addEventListener("open", () => socket.send('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"user"}}'));
    socket.addEventListener("message", ({ data }) => {
      for (const line of data.split("\n")) if (line) this.#handle(JSON.parse(line));
    });
    socket.addEventListener("close", ({ code }) => {
      isLive.value = false;
      if (!this.#isClosed && !FINAL_CODES.has(code)) this.#retry();
    });
  }

  #handle(frame) {
    // An empty frame is a ping; the answer is an empty frame.
    if (Object.keys(frame).length === 0) return this.#socket.send("{}");
    if (frame.id === 2 && frame.subscribe) {
      this.#delay = MIN_DELAY_MS;
      isLive.value = true;
    }
    const publication = frame.push?.channel === TOPIC ? frame.push.pub?.data : null;
    if (publication?.type === "realtime.notification") addNotification(publication.data);
  }

  /** The list is loaded again with the next connection, so nothing is missed in between. */
  #retry() {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => this.open(), this.#delay * (0.5 + Math.random() / 2));
    this.#delay = Math.min(MAX_DELAY_MS, this.#delay * 2);
  }
}
