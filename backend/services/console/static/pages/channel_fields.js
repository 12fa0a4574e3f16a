// What each channel needs: settings and secrets, in the order in which they are asked for.
//
// `kind` is setting or secret. Labels and hints are texts: field_NAME, and hint_CHANNEL_NAME if there
// is one. With `suggest`, the console generates a secret, which the user enters at the provider.
// A field with `isList` has one value a line.

import { createId } from "../lib/random.js";

const setting = (name, options = {}) => ({ name, kind: "setting", isRequired: true, ...options });
const secret = (name, options = {}) => ({ name, kind: "secret", isRequired: true, ...options });

export const CHANNEL_FIELDS = {
  web: [setting("origins", { isList: true }), setting("title", { isRequired: false, maxlength: 60 }), setting("greeting", { isRequired: false, maxlength: 500 }), setting("colour", { isRequired: false, pattern: "#[0-9A-Fa-f]{6}" })],
  whatsapp: [setting("phone_number_id"), setting("business_account_id", { isRequired: false }), secret("access_token"), secret("app_secret"), secret("verify_token", { suggest: true })],
  messenger: [setting("page_id"), secret("access_token"), secret("app_secret"), secret("verify_token", { suggest: true })],
  slack: [secret("bot_token"), secret("signing_secret")],
  teams: [setting("app_id"), setting("tenant_id", { isRequired: false }), secret("app_password")],
  telegram: [secret("bot_token"), secret("webhook_secret", { suggest: true })],
  twilio: [setting("account_sid"), setting("number"), secret("auth_token")],
  generic: [setting("url"), secret("secret", { suggest: true })],
};

/** Key of a service account: the agent answers with its permissions. */
export const AGENT_KEY = { name: "agent_key", kind: "agent", isRequired: false };

/** Return a new secret. Standard Webhooks have a prefix and base64 of 32 bytes. */
export function suggestSecret(channel) {
  if (channel !== "generic") return createId();
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return `whsec_${btoa(String.fromCharCode(...bytes))}`;
}

/** Return the text of the stored *value* of a field, and `parseValue` the value of its text. */
export const formatValue = ({ isList }, value) => (isList ? (value ?? []).join("\n") : String(value ?? ""));
export const parseValue = ({ isList }, text) => (isList ? text.split(/[\s,]+/).filter(Boolean) : text);

/** Return settings and credentials of the *values* of a form. Empty values are left out. */
export function toAccount(channel, values) {
  const pick = (kind) => Object.fromEntries(CHANNEL_FIELDS[channel].filter((field) => field.kind === kind && values[field.name]).map((field) => [field.name, parseValue(field, values[field.name])]));
  return { settings: pick("setting"), credentials: pick("secret"), ...(values.agent_key ? { agent_key: values.agent_key } : {}) };
}
