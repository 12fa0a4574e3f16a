// Page of the link in a mail: confirms a new e-mail address.

import * as api from "../lib/api.js";
import { html } from "../lib/dom.js";
import { loadTexts, t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import { loadUser, user } from "../model/session.js";
import { icon } from "../ui/icon.js";
import { getErrorText } from "../ui/notice.js";
import { linkForm, linkNote, signInFrame, takeToken } from "./sign_in_frame.js";

await loadTexts("sign_in");

export function page() {
  const token = takeToken();
  const isConfirmed = signal(false);
  const content = () => {
    if (isConfirmed.value) return confirmedNote();
    return token ? confirmForm(token, () => (isConfirmed.value = true)) : linkNote(t("confirmEmailNeedsLink"));
  };
  return signInFrame(t("confirmEmailTitle"), content);
}

/** The user presses a button: programs that check mails open links as well. */
function confirmForm(token, onConfirmed) {
  const submit = async () => {
    await api.post("/auth/email/confirm", { token });
    if (user.peek()) await loadUser();
    onConfirmed();
  };
  const describe = (error) => (error.code === "invalid_email_token" ? t("confirmEmailInvalid") : getErrorText(error));
  return linkForm({ content: html.p({ class: "faint" }, t("confirmEmailText")), label: t("confirmEmail"), submit, describe });
}

function confirmedNote() {
  const link = html.a({ class: "button primary", href: consolePath("/") }, t("goHome"));
  requestAnimationFrame(() => link.focus());
  return [html.div({ class: "sign-in-note", role: "status" }, icon("check"), html.p(t("emailConfirmed"))), link];
}
