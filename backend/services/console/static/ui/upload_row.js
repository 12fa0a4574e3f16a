// A row with the name, size, stage and progress of a file that is being added.

import { html } from "../lib/dom.js";
import { formatBytes, formatPercent, hasText, loadTexts, t } from "../lib/i18n.js";
import { icon, iconButton } from "./icon.js";
import { getErrorText } from "./notice.js";

await loadTexts("uploads");

const NEEDS_PASSWORD = new Set(["password_required", "wrong_password"]);

/**
 * @param {object} upload see model/uploads.js
 * @param {{onRemove: () => void, onRetry: (options: {password?: string}) => void}} actions
 */
export function uploadRow(upload, { onRemove, onRetry }) {
  const isFailed = () => upload.stage.value === "failed";
  const isReady = () => ["ready", "duplicate"].includes(upload.stage.value);
  return html.div(
    { class: () => `upload-row${isFailed() ? " failed" : ""}` },
    () => icon(isFailed() ? "warning" : isReady() ? "check" : "file"),
    html.div(
      { class: "upload-text" },
      html.div({ class: "upload-name" }, html.span({ class: "truncate", dir: "auto" }, upload.name), html.span({ class: "faint number" }, formatBytes(upload.size))),
      html.div({ class: "upload-stage" }, () => (isFailed() ? getUploadErrorText(upload.error.value) : getStageText(upload))),
      () => isFailed() && failureActions(upload, onRetry),
      html.div({ class: "progress", hidden: () => isFailed() || isReady(), role: "progressbar", "aria-label": upload.name, "aria-valuenow": () => String(Math.round(getFraction(upload) * 100)) }, html.i({ style: () => ({ width: `${getFraction(upload) * 100}%` }) })),
    ),
    iconButton("close", t("removeFromList", upload.name), { class: "small", onclick: onRemove }),
  );
}

const getFraction = (upload) => (upload.total.value ? Math.min(1, upload.done.value / upload.total.value) : 0);

function getStageText(upload) {
  const stage = upload.stage.value;
  if (stage === "sending") return t("stageSending", formatPercent(getFraction(upload)));
  if (stage === "extracting" && upload.total.value > 1) return t("stageExtractingPage", upload.done.value, upload.total.value);
  const key = `stage${stage[0].toUpperCase()}${stage.slice(1)}`;
  return hasText(key) ? t(key) : stage;
}

/** Return the reason of a failed upload in the user's language, with what to do. */
export function getUploadErrorText(error) {
  const key = `uploadError_${isEncryptedOffice(error) ? "encrypted_office" : error?.code}`;
  return hasText(key) ? t(key) : getErrorText(error);
}

/** The server has one code for all types that it does not read; encrypted Office files look like one. */
const isEncryptedOffice = (error) => error?.code === "unsupported_document" && /encrypted/.test(error.message ?? "");

function failureActions(upload, onRetry) {
  if (!NEEDS_PASSWORD.has(upload.error.value?.code)) {
    return html.button({ type: "button", class: "link-button", onclick: () => onRetry({}) }, t("tryAgain"));
  }
  const input = html.input({ class: "input", type: "password", autocomplete: "off", "aria-label": t("filePassword"), placeholder: t("filePassword") });
  const submit = (event) => {
    event.preventDefault();
    if (input.value) onRetry({ password: input.value });
  };
  return html.form({ class: "inline-form", onsubmit: submit }, input, html.button({ class: "button" }, t("unlock")));
}
