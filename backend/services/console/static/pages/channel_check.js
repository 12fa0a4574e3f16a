// The result of a check of a channel, in plain words.

import { html } from "../lib/dom.js";
import { formatRelativeTime, hasText, t } from "../lib/i18n.js";
import { icon } from "../ui/icon.js";

// Codes of the providers that mean the same.
const MEANINGS = [
  [/^(?:190|401|403|http_401|http_403|invalid_auth|not_authed|token_revoked|token_expired|account_inactive|invalid_client|20003|gone)$/, "token"],
  [/^(?:unreachable|no_response|http_5\d\d|2|131016)$/, "unreachable"],
  [/^(?:100|803|33|http_404|20404|404)$/, "id"],
  [/^(?:incomplete|address_blocked|secrets_unreadable|origins_invalid|origins_missing)$/, null],
];

/** Return the sentences for an error of an account: what is wrong, and what to do. */
export function explainError(error) {
  const code = String(error?.code ?? "");
  const meaning = MEANINGS.find(([pattern]) => pattern.test(code));
  const key = `check_${meaning ? meaning[1] ?? code : "other"}`;
  return hasText(key) ? t(key) : t("check_other");
}

/** Return whether *error* is only information: without a key of the agent people answer. */
export const isInformation = (error) => error?.code === "agent_key_missing";

/** Return a box with the state of *account* after a check. */
export function checkResult({ error, checked_at: time, state, channel }) {
  if (!time && !error) return null;
  const isGood = (!error || isInformation(error)) && state === "active";
  const isWeb = channel === "web";
  return html.div(
    { class: `check-result ${isGood ? "good" : "bad"}` },
    icon(isGood ? "check" : "warning"),
    html.div(
      html.strong(isGood ? t(isWeb ? "sitesPassed" : "checkPassed") : error ? explainError(error) : t(`account_${state}`)),
      isInformation(error) && html.p({ class: "faint" }, t("noAgentKey")),
      error?.detail && !isInformation(error) && html.p({ class: "faint" }, isWeb ? error.detail : t("providerSays", error.detail)),
      time && html.p({ class: "faint" }, t("channelCheckedAt", formatRelativeTime(time))),
    ),
  );
}
