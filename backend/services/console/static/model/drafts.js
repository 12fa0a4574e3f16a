// Text that was typed and not sent, kept until the tab is closed or the user signs out.

const key = (conversationId) => `draft:${conversationId ?? "new"}`;

export const readDraft = (conversationId) => window.sessionStorage.getItem(key(conversationId)) ?? "";

export function writeDraft(conversationId, text) {
  if (text) window.sessionStorage.setItem(key(conversationId), text);
  else window.sessionStorage.removeItem(key(conversationId));
}
