// Addresses of the inbox: filters of the list, and the opened conversation.

import { navigate, route } from "../lib/router.js";

/** Return the filters of the address. Without a status, open conversations are listed. */
export function readFilters() {
  const { query } = route.value;
  return { status: query.get("status") ?? "open", assignee: query.get("assignee") ?? "", channel: query.get("channel") ?? "" };
}

/** Return the address of a conversation in the list that is shown. */
export function conversationPath(id, seq = null) {
  const query = new URLSearchParams(route.value.query);
  query.delete("m");
  if (id) query.set("c", id);
  else query.delete("c");
  if (seq !== null) query.set("m", String(seq));
  return `/inbox${query.size ? `?${query}` : ""}`;
}

export const openConversation = (id) => navigate(conversationPath(id));
