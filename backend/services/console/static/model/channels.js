// Accounts of channels, their templates, and what waits to be sent. Most of it needs chat:manage.

import * as api from "../lib/api.js";

const MAX_COUNTED = 100;

export const CHANNELS = ["web", "whatsapp", "messenger", "slack", "teams", "telegram", "twilio", "generic"];

export const getAccountPage = (cursor) => api.get("/chat/accounts", { limit: 50, cursor });
export const getAccount = (id) => api.get(`/chat/accounts/${encodeURIComponent(id)}`);
export const createAccount = (account) => api.post("/chat/accounts", account);
export const updateAccount = (id, changes) => api.patch(`/chat/accounts/${encodeURIComponent(id)}`, changes);
export const deleteAccount = (id) => api.remove(`/chat/accounts/${encodeURIComponent(id)}`);
/** Call the provider with the account's credentials. */
export const checkAccount = (id) => api.post(`/chat/accounts/${encodeURIComponent(id)}/check`);

/** Return the address that the provider calls. */
export const getWebhookUrl = ({ id, channel }) => `${window.location.origin}/webhook/${channel}/${id}`;

/** Return whether an account is the one for chats of signed-in users, which every tenant has. */
export const isForUsers = ({ id }) => id.startsWith("web_");

/** Return the script tag that shows the chat of an account on a site. */
export function getScriptTag({ id, settings }) {
  const colour = settings.colour ? ` data-colour="${settings.colour}"` : "";
  return `<script src="${window.location.origin}/chat/widget.js" data-account="${id}"${colour} async></script>`;
}

/** Return how many deliveries wait: `{ count, isMore }`. */
export async function countWaiting(accountId) {
  const page = await api.get("/chat/deliveries", { account_id: accountId, state: "queued", limit: MAX_COUNTED });
  return { count: page.items.length, isMore: page.next_cursor !== null };
}

/** Send a failed message, or one with an unknown outcome, again. Resolves to false if there is none. */
export async function retryDelivery({ id, conversation_id: conversationId, state }) {
  const page = await api.get("/chat/deliveries", { conversation_id: conversationId, state, limit: 200 });
  const deliveries = page.items.filter((delivery) => delivery.message_id === id).reverse();
  for (const delivery of deliveries) await api.post(`/chat/deliveries/${delivery.id}/retry`);
  return deliveries.length > 0;
}

/** Return the templates of an account. */
export async function getTemplates(accountId) {
  const templates = [];
  for await (const template of api.getAllItems("/chat/templates", { account_id: accountId })) templates.push(template);
  return templates;
}

/** Read the templates of an account from its provider. Needs chat:manage. */
export const syncTemplates = (accountId) => api.post("/chat/templates/sync", { account_id: accountId });

/** Return the text of a template's body, and the names of its parameters in order. */
export function readTemplate({ components }) {
  const body = components.find(({ type }) => String(type).toUpperCase() === "BODY");
  const text = body?.text ?? "";
  return { text, parameters: [...new Set([...text.matchAll(/\{\{\s*(\w+)\s*\}\}/g)].map(([, name]) => name))] };
}

/** Return *text* of a template with the values of its parameters. */
export const fillTemplate = (text, values) => text.replace(/\{\{\s*(\w+)\s*\}\}/g, (marker, name) => values[name] || marker);
