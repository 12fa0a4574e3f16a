// Page of the link in a mail: sets a new password instead of a forgotten one.

import * as api from "../lib/api.js";
import { html } from "../lib/dom.js";
import { loadTexts, t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import { endSessionInAllTabs } from "../model/session.js";
import { icon } from "../ui/icon.js";
import { getErrorText } from "../ui/notice.js";
import { linkForm, linkNote, newPasswordFields, signInFrame, signInLink, takeToken } from "./sign_in_frame.js";

await loadTexts("sign_in");

export function page() {
  const token = takeToken();
  const isChanged = signal(false);
  const content = () => {
    if (isChanged.value) return changedNote();
    return token ? [passwordForm(token, () => (isChanged.value = true)), signInLink()] : [linkNote(t("resetNeedsLink")), newLink()];
  };
  return signInFrame(t("resetTitle"), content);
}

const newLink = () => html.a({ class: "button", href: consolePath("/forgot-password") }, t("requestNewLink"));

function passwordForm(token, onChanged) {
  const fields = newPasswordFields();
  const submit = async () => {
    await api.post("/auth/password/reset", { token, new_password: fields.read() });
    // All sessions of the user have ended, perhaps also that of this browser.
    endSessionInAllTabs();
    onChanged();
  };
  const describe = (error) => (error.code === "invalid_reset_token" ? [html.p(t("resetInvalid")), newLink()] : getErrorText(error));
  return linkForm({ content: [html.p({ class: "faint" }, t("resetText")), fields.elements], label: t("setNewPassword"), submit, describe });
}

function changedNote() {
  const link = html.a({ class: "button primary", href: consolePath("/") }, t("signIn"));
  requestAnimationFrame(() => link.focus());
  return [html.div({ class: "sign-in-note", role: "status" }, icon("check"), html.p(t("passwordReset"))), link];
}
