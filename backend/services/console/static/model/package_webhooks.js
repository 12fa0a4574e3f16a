// Accounts of tracking providers, and the webhooks that they sent.

import * as api from "../lib/api.js";

const ACCOUNTS = "/packages/webhook-accounts";
const SECRET_BYTES = 24;

const getAccountPath = (id) => `${ACCOUNTS}/${encodeURIComponent(id)}`;

export const getAccountPage = (cursor) => api.get(ACCOUNTS, { limit: 50, cursor });
export const createAccount = (account) => api.post(ACCOUNTS, account);
export const replaceSecret = (id, secret) => api.patch(getAccountPath(id), { secret });
export const deleteAccount = (id) => api.remove(getAccountPath(id));
export const getDeliveryPage = (id, cursor) => api.get(`${getAccountPath(id)}/deliveries`, { limit: 20, cursor });
export const replayDelivery = (id, delivery) => api.post(`${getAccountPath(id)}/deliveries/${encodeURIComponent(delivery)}/replay`);
export const getWebhookUrl = ({ path }) => `${window.location.origin}${path}`;

/** Return a new secret in the format of *source*. Standard Webhooks: `whsec_` and Base64. */
export function createSecret(source) {
  const text = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(SECRET_BYTES))));
  return source === "standard" ? `whsec_${text}` : text;
}
