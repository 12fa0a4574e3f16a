// Setup page: sets the administrator's password with the one-time link that the start prints.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { consolePath, navigate, route } from "../lib/router.js";
import { signIn } from "../model/session.js";
import { icon, logo } from "../ui/icon.js";
import { markedPage } from "../ui/marked_page.js";
import { getErrorText } from "../ui/notice.js";

export function page() {
  document.title = `${t("setupTitle")} · ${t("productName")}`;
  const token = route.peek().hash.slice(1);
  // The token must not stay in the history.
  window.history.replaceState(null, "", consolePath("/setup"));
  return html.div(
    { class: "sign-in" },
    html.div({ class: "sign-in-picture" }, markedPage()),
    html.main(
      { id: "main" },
      html.div(
        { class: "sign-in-box" },
        html.div({ class: "brand" }, logo(), html.span(t("productName"))),
        html.h1(t("setupTitle")),
        token ? passwordForm(token) : html.div({ class: "sign-in-note warning" }, icon("warning"), html.p(t("setupNeedsLink"))),
        html.a({ class: "button plain", href: consolePath("/") }, t("switchToSignIn")),
      ),
    ),
  );
}

function passwordForm(token) {
  const error = signal(null);
  const isBusy = signal(false);
  const password = html.input({ class: "input", type: "password", name: "password", autocomplete: "new-password", required: true, minlength: 8, maxlength: 128 });
  const repeated = html.input({ class: "input", type: "password", name: "repeated", autocomplete: "new-password", required: true });
  requestAnimationFrame(() => password.focus());
  const submit = async (event) => {
    event.preventDefault();
    if (password.value !== repeated.value) {
      error.value = t("passwordsDiffer");
      repeated.focus();
      return;
    }
    isBusy.value = true;
    error.value = null;
    try {
      await signIn("/auth/setup", { token, password: password.value });
      navigate("/", { replace: true });
    } catch (problem) {
      error.value = getErrorText(problem);
    } finally {
      isBusy.value = false;
    }
  };
  return html.form(
    { class: "sign-in-form", onsubmit: submit },
    html.p({ class: "faint" }, t("setupText")),
    html.label({ class: "field" }, html.span(t("newPassword")), password),
    html.label({ class: "field" }, html.span(t("repeatPassword")), repeated),
    html.div({ role: "alert" }, () => error.value && html.p({ class: "field-error" }, icon("warning"), html.span(error.value))),
    html.button({ class: "button primary", disabled: isBusy }, t("setPassword")),
  );
}
