// Setup page: sets the administrator's password with the one-time link that the start prints.

import { html } from "../lib/dom.js";
import { loadTexts, t } from "../lib/i18n.js";
import { navigate } from "../lib/router.js";
import { signIn } from "../model/session.js";
import { linkForm, linkNote, newPasswordFields, signInFrame, signInLink, takeToken } from "./sign_in_frame.js";

await loadTexts("sign_in");

export function page() {
  const token = takeToken();
  return signInFrame(t("setupTitle"), token ? passwordForm(token) : linkNote(t("setupNeedsLink")), signInLink());
}

function passwordForm(token) {
  const fields = newPasswordFields();
  const submit = async () => {
    await signIn("/auth/setup", { token, password: fields.read() });
    navigate("/", { replace: true });
  };
  return linkForm({ content: [html.p({ class: "faint" }, t("setupText")), fields.elements], label: t("setPassword"), submit });
}
