// Messages at the lower edge of the window, also announced to screen readers.
//
//   showNotice(t("copied"))            disappears after six seconds
//   showError(error)                   stays until dismissed; shows the request id
//   await reportErrors(promise)        shows the error of a failed action

import { html } from "../lib/dom.js";
import { formatTime, t, translateApiText, translateFieldError } from "../lib/i18n.js";
import { icon, iconButton } from "./icon.js";

const NOTICE_MS = 6000;
const MAX_NOTICES = 4;

/** Container of all notices. It is a popover, so that it is above modal dialogs. */
export const noticeArea = html.div({ class: "notices" }, html.div({ role: "status" }), html.div({ role: "alert" }));

/** Show a message for some seconds. */
export function showNotice(text, { action, onAction } = {}) {
  const [status] = noticeArea.children;
  const notice = html.div({ class: "notice" }, icon("info"), html.div(text), action && html.button({ type: "button", class: "button", onclick: () => (notice.remove(), onAction()) }, action), closeButton());
  const timer = setTimeout(() => notice.remove(), NOTICE_MS);
  notice.addEventListener("focusin", () => clearTimeout(timer));
  addNotice(status, notice);
}

/** Show an error until it is dismissed. Cancelled requests are not errors. */
export function showError(error) {
  if (error?.name === "AbortError" || error?.status === 401) return;
  const [, alerts] = noticeArea.children;
  const notice = html.div({ class: "notice error" }, icon("warning"), html.div(getErrorText(error), getRequestId(error)), closeButton());
  addNotice(alerts, notice);
}

/** Wait for *action* and show its error, if any. @returns {Promise<any>} undefined after an error */
export async function reportErrors(action) {
  try {
    return await action;
  } catch (error) {
    showError(error);
    return undefined;
  }
}

/** Return a sentence for the user that describes *error*. */
export function getErrorText(error) {
  if (error?.name === "NetworkError") return t("errorUnreachable");
  if (error?.name !== "ApiError") return t("errorUnexpected");
  if (error.code === "daily_tokens_used") return t("errorDailyTokens", formatTime(Date.now() + (error.retry_after ?? 0) * 1000));
  if (error.status === 429) return t("errorTooMany", error.retry_after);
  const field = error.errors?.[0];
  if (!field) return translateApiText("problems", error.code, error.message);
  const text = translateFieldError(field.detail);
  return text === field.detail ? translateApiText("problems", error.code, text) : text;
}

/** Return a line with the request id, or null. */
export function getRequestId(error) {
  return error?.request_id ? html.div({ class: "faint" }, html.small(t("requestId", error.request_id))) : null;
}

function addNotice(list, notice) {
  list.append(notice);
  while (list.children.length > MAX_NOTICES) list.firstElementChild.remove();
}

function closeButton() {
  return iconButton("close", t("close"), { class: "small", onclick: (event) => event.currentTarget.closest(".notice").remove() });
}
