// Sign-in page: password, second factor, identity providers, registration.

import * as api from "../lib/api.js";
import { html } from "../lib/dom.js";
import { LOCALES, loadTexts, locale, t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import { changeLocale, hasExpired, signIn, startExternalSignIn } from "../model/session.js";
import { icon, logo } from "../ui/icon.js";
import { getErrorText } from "../ui/notice.js";
import { markedPage } from "../ui/marked_page.js";

const CODE_PROBLEMS = new Set(["totp_required", "invalid_totp"]);

await loadTexts("sign_in");

export function page() {
  document.title = `${t("signIn")} · ${t("productName")}`;
  const isRegistering = signal(false);
  return html.div(
    { class: "sign-in" },
    html.div({ class: "sign-in-picture" }, markedPage()),
    html.main(
      { id: "main" },
      html.div(
        { class: "sign-in-box" },
        html.div({ class: "brand" }, logo(), html.span(t("productName"))),
        html.h1(() => t(isRegistering.value ? "registerTitle" : "signInTitle")),
        html.p({ class: "faint" }, t("signInText")),
        !window.isSecureContext && insecureWarning(),
        () => hasExpired.value && html.p({ class: "sign-in-note", role: "status" }, icon("clock"), t("sessionExpired")),
        () => credentialsForm(isRegistering.value),
        () => !isRegistering.value && html.a({ class: "forgot-link", href: consolePath("/forgot-password") }, t("forgotPassword")),
        providers(),
        html.button({ type: "button", class: "button plain", onclick: () => isRegistering.update((value) => !value) }, () => t(isRegistering.value ? "switchToSignIn" : "switchToRegister")),
      ),
      languages(),
    ),
  );
}

function insecureWarning() {
  return html.div({ class: "sign-in-note warning", role: "alert" }, icon("warning"), html.div(html.strong(t("plainHttpTitle")), html.p(t("plainHttpText", window.location.host))));
}

function languages() {
  return html.div(
    { class: "sign-in-languages" },
    LOCALES.map(([code, label]) => html.button({ type: "button", class: "link-button", lang: code, "aria-pressed": String(locale.peek() === code), onclick: () => changeLocale(code) }, label)),
  );
}

/** Return the form for sign-in or registration. */
export function credentialsForm(isNew) {
  const error = signal(null);
  const isBusy = signal(false);
  const needsCode = signal(false);
  const username = textField({ name: "username", label: t(isNew ? "newUsername" : "usernameOrEmail"), autocomplete: "username", autocapitalize: "none", spellcheck: "false" });
  const password = textField({ name: "password", type: "password", label: t("password"), autocomplete: isNew ? "new-password" : "current-password" });
  const code = textField({ name: "totp", label: t("totpCode"), inputmode: "text", autocomplete: "one-time-code", required: false });

  // autofocus applies only to the first page of a tab.
  requestAnimationFrame(() => username.input.focus());

  const submit = async (event) => {
    event.preventDefault();
    if (isBusy.peek()) return;
    isBusy.value = true;
    error.value = null;
    const credentials = { username: username.input.value.trim(), password: password.input.value };
    if (needsCode.peek() && code.input.value.trim()) credentials.totp = code.input.value.trim();
    try {
      await signIn(isNew ? "/auth/register" : "/auth/login", credentials);
    } catch (problem) {
      if (CODE_PROBLEMS.has(problem.code)) needsCode.value = true;
      if (problem.code !== "totp_required") error.value = problem;
      const field = CODE_PROBLEMS.has(problem.code) ? code : problem.code === "username_taken" ? username : password;
      queueMicrotask(() => field.input.focus());
    } finally {
      isBusy.value = false;
    }
  };

  return html.form(
    { class: "sign-in-form", onsubmit: submit, "aria-label": t(isNew ? "register" : "signIn") },
    username.element,
    password.element,
    html.div({ hidden: () => !needsCode.value }, code.element, html.p({ class: "hint" }, t("totpHint"))),
    html.div({ role: "alert" }, () => error.value && html.p({ class: "field-error" }, icon("warning"), html.span(getSignInError(error.value)))),
    html.button({ class: "button primary", disabled: isBusy }, () => t(isBusy.value ? "pleaseWait" : isNew ? "register" : "signIn")),
  );
}

export function textField({ label, ...attributes }) {
  const input = html.input({ class: "input", type: "text", required: true, maxlength: 254, ...attributes });
  return { input, element: html.label({ class: "field" }, html.span(label), input) };
}

function getSignInError(error) {
  if (error.code === "invalid_credentials") return t("invalidCredentials");
  if (error.code === "invalid_totp") return t("invalidTotp");
  return getErrorText(error);
}

function providers() {
  const list = signal([]);
  api.get("/auth/oidc").then(
    (response) => (list.value = response.providers),
    () => {},
  );
  return html.div({ class: "sign-in-providers" }, () => list.value.map(({ name, login_url: url }) => html.a({ class: "button", href: `${url}?session=cookie`, onclick: startExternalSignIn }, icon("key"), t("continueWith", toTitle(name)))));
}

const toTitle = (name) => name.slice(0, 1).toUpperCase() + name.slice(1);
