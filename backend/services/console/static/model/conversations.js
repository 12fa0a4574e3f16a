// The user's conversations: list with search, rename, delete, export.

import * as api from "../lib/api.js";
import { signal } from "../lib/reactive.js";

const PAGE_SIZE = 40;

/** Summaries, latest first; null while the first page is loading. */
export const conversations = signal(null);
export const searchText = signal("");
export const listError = signal(null);
/** Id of the conversation on the screen, or null. */
export const openConversationId = signal(null);

const channel = new BroadcastChannel("conversations");
let nextCursor = null;
let isLoadingMore = false;
let requestNumber = 0;

/** Load the first page for the current search text. */
export async function loadConversations() {
  const number = ++requestNumber;
  try {
    const page = await fetchPage(null);
    if (number !== requestNumber) return;
    listError.value = null;
    nextCursor = page.next_cursor;
    conversations.value = page.items;
  } catch (error) {
    if (number !== requestNumber) return;
    listError.value = error;
    conversations.value ??= [];
  }
}

/** Load the next page, if there is one. */
export async function loadMoreConversations() {
  if (!nextCursor || isLoadingMore) return;
  isLoadingMore = true;
  const number = requestNumber;
  try {
    const page = await fetchPage(nextCursor);
    if (number !== requestNumber) return;
    nextCursor = page.next_cursor;
    const known = new Set(conversations.peek().map(({ id }) => id));
    conversations.value = [...conversations.peek(), ...page.items.filter(({ id }) => !known.has(id))];
  } finally {
    isLoadingMore = false;
  }
}

const fetchPage = (cursor) => api.get("/agent/sessions", { limit: PAGE_SIZE, q: searchText.peek(), cursor });

/** Forget the list, for example when another user signs in. */
export function clearConversations() {
  requestNumber++;
  nextCursor = null;
  conversations.value = null;
  searchText.value = "";
  openConversationId.value = null;
}

/** Put *summary* at the top of the list, here and in other tabs. */
export function touchConversation({ id, title, state, created_at, updated_at }) {
  const summary = { id, title, state, created_at, updated_at };
  const others = (conversations.peek() ?? []).filter((each) => each.id !== id);
  if (!searchText.peek()) conversations.value = [summary, ...others];
  channel.postMessage(id);
}

export async function renameConversation(id, title) {
  const changed = await api.patch(`/agent/sessions/${id}`, { title });
  conversations.value = conversations.peek().map((each) => (each.id === id ? { ...each, title: changed.title } : each));
  channel.postMessage(id);
}

export async function deleteConversation(id) {
  await api.remove(`/agent/sessions/${id}`);
  conversations.value = conversations.peek().filter((each) => each.id !== id);
  channel.postMessage(id);
}

/** Call *listener* with the id of a conversation that another tab changed. Returns a function that stops. */
export function onConversationChange(listener) {
  const handle = ({ data }) => listener(data);
  channel.addEventListener("message", handle);
  return () => channel.removeEventListener("message", handle);
}

onConversationChange(() => {
  if (conversations.peek()) loadConversations();
});

/** Return the conversation as a Markdown document with its sources. */
export async function exportConversation(id, { you, assistant, sources }) {
  const conversation = await api.get(`/agent/sessions/${id}`);
  const parts = conversation.messages.map((message) => {
    const heading = `## ${message.role === "user" ? you : assistant}`;
    return [heading, message.content, ...formatSources(message.citations, sources)].join("\n\n");
  });
  return { title: conversation.title, text: `# ${conversation.title}\n\n${parts.join("\n\n")}\n` };
}

/** Return the list of sources of an answer as Markdown lines, or an empty array. */
export function formatSources(citations, heading) {
  if (!citations.length) return [];
  const lines = citations.map(({ marker, filename, page, quote }) => `${marker}. ${filename}${page ? `, p. ${page}` : ""}: “${quote.replace(/\s+/g, " ")}”`);
  return [`${heading}:`, lines.join("\n")];
}
