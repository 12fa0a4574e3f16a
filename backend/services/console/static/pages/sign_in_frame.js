// The frame and the form of pages that are shown without a session: setup, invitation, new password.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { consolePath, route } from "../lib/router.js";
import { icon, logo } from "../ui/icon.js";
import { markedPage } from "../ui/marked_page.js";
import { getErrorText } from "../ui/notice.js";

/** Return the page with the heading *title* and *content*. */
export function signInFrame(title, ...content) {
  document.title = `${title} · ${t("productName")}`;
  return html.div(
    { class: "sign-in" },
    html.div({ class: "sign-in-picture" }, markedPage()),
    html.main({ id: "main" }, html.div({ class: "sign-in-box" }, html.div({ class: "brand" }, logo(), html.span(t("productName"))), html.h1(title), content)),
  );
}

/** Return the token of a one-time link, and remove it from the address: it must not stay in the history. */
export function takeToken() {
  const { path, hash, query } = route.peek();
  window.history.replaceState(null, "", consolePath(path));
  return hash.slice(1) || query.get("token");
}

/** Return what a page shows instead of its form if its link has no token. */
export const linkNote = (text) => html.div({ class: "sign-in-note warning" }, icon("warning"), html.p(text));

export const signInLink = () => html.a({ class: "button plain", href: consolePath("/") }, t("switchToSignIn"));

/**
 * Return a form that calls *submit* and shows its error.
 *
 * @param {object} options
 * @param {any} options.content fields
 * @param {string} options.label of the form and its button
 * @param {() => Promise<any>} options.submit an Error with the member `text` is shown with that text
 * @param {(error: any) => any} [options.describe] returns what is shown for an error
 */
export function linkForm({ content, label, submit, describe = getErrorText }) {
  const error = signal(null);
  const isBusy = signal(false);
  const onsubmit = async (event) => {
    event.preventDefault();
    if (isBusy.peek()) return;
    isBusy.value = true;
    error.value = null;
    try {
      await submit();
    } catch (problem) {
      error.value = problem.text ?? describe(problem);
    } finally {
      isBusy.value = false;
    }
  };
  return html.form(
    { class: "sign-in-form", onsubmit, "aria-label": label },
    content,
    html.div({ role: "alert" }, () => error.value && html.div({ class: "field-error" }, icon("warning"), html.div(error.value))),
    html.button({ class: "button primary", disabled: isBusy }, () => (isBusy.value ? t("pleaseWait") : label)),
  );
}

/**
 * Return two fields for a new password.
 *
 * @returns {{elements: Element[], read: () => string}} read raises an error for *linkForm* if they differ
 */
export function newPasswordFields() {
  const password = html.input({ class: "input", type: "password", name: "password", autocomplete: "new-password", required: true, minlength: 8, maxlength: 128 });
  const repeated = html.input({ class: "input", type: "password", name: "repeated", autocomplete: "new-password", required: true, maxlength: 128 });
  requestAnimationFrame(() => password.focus());
  const read = () => {
    if (password.value === repeated.value) return password.value;
    repeated.focus();
    throw Object.assign(new Error("The passwords differ."), { text: t("passwordsDiffer") });
  };
  return { elements: [html.label({ class: "field" }, html.span(t("newPassword")), password), html.label({ class: "field" }, html.span(t("repeatPassword")), repeated)], read };
}
