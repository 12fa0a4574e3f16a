// Invitation page: a new person creates an account, a signed-in user joins the tenant.

import * as api from "../lib/api.js";
import { html } from "../lib/dom.js";
import { loadTexts, t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { navigate } from "../lib/router.js";
import { getDisplayName, loadUser, signIn, user } from "../model/session.js";
import { getErrorText, showNotice } from "../ui/notice.js";
import { credentialsForm, textField } from "./sign_in.js";
import { linkForm, linkNote, signInFrame, takeToken } from "./sign_in_frame.js";

await loadTexts("sign_in");

export function page() {
  const token = takeToken();
  return signInFrame(t("invitationTitle"), token ? acceptance(token) : linkNote(t("invitationNeedsLink")));
}

/** Return a child for html that shows the form that fits: join, sign in or create an account. */
function acceptance(token) {
  const hasAccount = signal(false);
  const switchLink = () => html.button({ type: "button", class: "button plain", onclick: () => hasAccount.update((value) => !value) }, t(hasAccount.value ? "invitationSwitchToNew" : "switchToSignIn"));
  return () => {
    if (user.value) return joinForm(token);
    if (hasAccount.value) return [html.p({ class: "faint" }, t("invitationSignInText")), credentialsForm(false), switchLink()];
    return [accountForm(token), switchLink()];
  };
}

function accountForm(token) {
  const username = textField({ name: "username", label: t("newUsername"), autocomplete: "username", autocapitalize: "none", spellcheck: "false", maxlength: 64 });
  const password = textField({ name: "password", type: "password", label: t("password"), autocomplete: "new-password", maxlength: 128 });
  requestAnimationFrame(() => username.input.focus());
  return acceptForm([html.p({ class: "faint" }, t("invitationText")), username.element, password.element], t("register"), async () => {
    await signIn("/auth/invitations/accept", { token, username: username.input.value.trim(), password: password.input.value });
    navigate("/", { replace: true });
  });
}

function joinForm(token) {
  return acceptForm([html.p({ class: "faint" }, t("invitationJoinText", getDisplayName()))], t("invitationJoin"), async () => {
    const { user: account, tenant_id: id } = await api.post("/auth/invitations/accept", { token });
    // Only new tokens contain the tenant.
    await api.refreshSession();
    await loadUser();
    showNotice(t("invitationJoined", account.tenants.find((tenant) => tenant.id === id)?.name ?? ""));
    navigate("/", { replace: true });
  });
}

function acceptForm(content, label, submit) {
  return linkForm({ content, label, submit, describe: describeError });
}

function describeError(error) {
  if (error.code === "invalid_invitation") return t("invitationInvalid");
  return error.code === "email_taken" ? t("invitationAccountExists") : getErrorText(error);
}
