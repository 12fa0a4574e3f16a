// Page of a forgotten password: requests a mail with a link to the page that sets a new one.

import * as api from "../lib/api.js";
import { html } from "../lib/dom.js";
import { loadTexts, t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { icon } from "../ui/icon.js";
import { textField } from "./sign_in.js";
import { linkForm, signInFrame, signInLink } from "./sign_in_frame.js";

await loadTexts("sign_in");

export function page() {
  const isSent = signal(false);
  return signInFrame(t("forgotTitle"), () => (isSent.value ? sentNote() : requestForm(() => (isSent.value = true))), signInLink());
}

function requestForm(onSent) {
  const name = textField({ name: "username", label: t("usernameOrEmail"), autocomplete: "username", autocapitalize: "none", spellcheck: "false" });
  requestAnimationFrame(() => name.input.focus());
  const submit = async () => {
    await api.post("/auth/password/forgot", { username: name.input.value.trim() });
    onSent();
  };
  return linkForm({ content: [html.p({ class: "faint" }, t("forgotText")), name.element], label: t("sendResetLink"), submit });
}

/** The text is the same whether or not the account exists. */
function sentNote() {
  const note = html.div({ class: "sign-in-note", role: "status", tabindex: "-1" }, icon("check"), html.div(html.strong(t("resetLinkSent")), html.p(t("resetLinkSentText"))));
  requestAnimationFrame(() => note.focus());
  return note;
}
