// Form for the password of an encrypted PDF, in place of its page.

import { html } from "../lib/dom.js";
import { loadTexts, t } from "../lib/i18n.js";
import { hasDocumentPassword, setDocumentPassword } from "../model/evidence.js";
import { icon } from "../ui/icon.js";

await Promise.all([loadTexts("evidence"), loadTexts("uploads")]);

/** @param {import("./evidence.js").EvidenceState} state @param {() => void} onPassword */
export function passwordForm(state, onPassword) {
  const { document_id: id } = state.citation;
  const isWrong = hasDocumentPassword(id);
  if (isWrong) setDocumentPassword(id, null);
  const input = html.input({ class: "input", type: "password", name: "password", autocomplete: "off", required: true, maxlength: 200, "aria-invalid": isWrong ? "true" : null });
  const submit = (event) => {
    event.preventDefault();
    setDocumentPassword(id, input.value);
    onPassword();
  };
  if (isWrong) requestAnimationFrame(() => input.focus());
  return html.form(
    { class: "evidence-lock", onsubmit: submit, "aria-label": t("protectedTitle") },
    icon("lock"),
    html.p(html.strong(t("protectedTitle"))),
    html.p({ class: "faint" }, t("protectedText")),
    html.label({ class: "field" }, html.span(t("filePassword")), input),
    html.div({ role: "alert" }, isWrong && html.p({ class: "field-error" }, t("uploadError_wrong_password"))),
    html.button({ class: "button primary" }, t("showPage")),
    html.button({ type: "button", class: "link-button", onclick: () => (state.page.value = null) }, t("showTextInstead")),
  );
}
