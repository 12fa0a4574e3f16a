// Invitation page: a new person creates an account, a signed-in user joins the tenant.

import * as api from "../lib/api.js";
import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { consolePath, navigate, route } from "../lib/router.js";
import { getDisplayName, loadUser, signIn, user } from "../model/session.js";
import { icon, logo } from "../ui/icon.js";
import { markedPage } from "../ui/marked_page.js";
import { getErrorText, showNotice } from "../ui/notice.js";
import { credentialsForm, textField } from "./sign_in.js";

export function page() {
  document.title = `${t("invitationTitle")} · ${t("productName")}`;
  const { hash, query } = route.peek();
  const token = hash.slice(1) || query.get("token");
  // The token must not stay in the history.
  window.history.replaceState(null, "", consolePath("/invitation"));
  return html.div(
    { class: "sign-in" },
    html.div({ class: "sign-in-picture" }, markedPage()),
    html.main(
      { id: "main" },
      html.div(
        { class: "sign-in-box" },
        html.div({ class: "brand" }, logo(), html.span(t("productName"))),
        html.h1(t("invitationTitle")),
        token ? acceptance(token) : html.div({ class: "sign-in-note warning" }, icon("warning"), html.p(t("invitationNeedsLink"))),
      ),
    ),
  );
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

/** Return a form that calls *accept* and shows its error. */
function acceptForm(content, label, accept) {
  const error = signal(null);
  const isBusy = signal(false);
  const submit = async (event) => {
    event.preventDefault();
    if (isBusy.peek()) return;
    isBusy.value = true;
    error.value = null;
    try {
      await accept();
    } catch (problem) {
      error.value = problem.code === "invalid_invitation" ? t("invitationInvalid") : problem.code === "email_taken" ? t("invitationAccountExists") : getErrorText(problem);
    } finally {
      isBusy.value = false;
    }
  };
  return html.form(
    { class: "sign-in-form", onsubmit: submit, "aria-label": label },
    content,
    html.div({ role: "alert" }, () => error.value && html.p({ class: "field-error" }, icon("warning"), html.span(error.value))),
    html.button({ class: "button primary", disabled: isBusy }, () => (isBusy.value ? t("pleaseWait") : label)),
  );
}
