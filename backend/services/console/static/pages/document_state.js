// The state of a document as a short text with an icon.

import { html } from "../lib/dom.js";
import { formatPercent, hasText, plural, t, translateApiText } from "../lib/i18n.js";
import { icon } from "../ui/icon.js";

/** Return the element for the state of *document*. */
export function documentState(document) {
  const { status, progress, chunks, warnings } = document;
  if (status === "failed") return stateText("failed", "warning", t("state_failed"), getFailureText(document));
  if (status !== "ready") return stateText("busy", "clock", getStageText(status, progress));
  const count = plural(chunks, { one: t("chunkCountOne"), other: t("chunkCountOther") });
  if (warnings.length) return stateText("warned", "warning", count, warnings.map(({ detail }) => detail).join("\n"));
  return stateText("ready", "check", count);
}

function stateText(className, iconName, text, title = null) {
  return html.span({ class: `document-state ${className}`, title }, icon(iconName), html.span({ class: "truncate" }, text));
}

function getStageText(status, { stage, done, total }) {
  if (status === "queued") return t("state_queued");
  const name = getStageName(stage);
  return total > 1 ? `${name} ${formatPercent(done / total)}` : name;
}

/** Return the name of a stage of ingestion, such as "extracting". */
export function getStageName(stage) {
  const key = `stage${stage.charAt(0).toUpperCase()}${stage.slice(1)}`;
  return hasText(key) ? t(key) : stage;
}

/** Return why *document* failed, and what to do. */
export function getFailureText({ error }) {
  const key = `uploadError_${error?.code}`;
  return hasText(key) ? t(key) : translateApiText("problems", error?.code, error?.detail ?? t("state_failed"));
}
