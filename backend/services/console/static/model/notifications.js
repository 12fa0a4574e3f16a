// Notifications of the user: list, number of unread ones, live in every tab.

import * as api from "../lib/api.js";
import { onDispose, signal } from "../lib/reactive.js";
import { LiveConnection } from "./live.js";
import { unreadCount } from "./unread_count.js";

export { unreadCount };

const PAGE_SIZE = 50;
const TOPIC = "user";
const STORAGE_NAME = "browser_notifications";

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
  // The list is loaded again with each connection, so nothing is missed in between.
  const connection = new LiveConnection([TOPIC], { isLive, onEvent: handleEvent, prepare: loadNotifications });
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

function handleEvent({ type, data }) {
  if (type === "realtime.notification") addNotification(data);
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
