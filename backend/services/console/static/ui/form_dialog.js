// Dialogs with a form.
//
//   await openFormDialog({ title, fields, action, submit })    result of submit(values), or null
//   await askForProof(methods)                                 { password, totp } for sensitive requests
//   await showSecret({ title, text, secret })                  a key that is shown once
//
// A field is { name, label, type, value, hint, isRequired, maxlength, options }. Types: text, password,
// email, number, textarea, select, checks (options are [value, label, note]), datetime-local. Errors of the server are
// shown at the field that they point to.

import { html, replaceChildren } from "../lib/dom.js";
import { t, translateFieldError } from "../lib/i18n.js";
import { openDialog } from "./dialog.js";
import { icon } from "./icon.js";
import { getErrorText, getRequestId, showNotice } from "./notice.js";

let lastId = 0;

/**
 * @param {object} options
 * @param {(values: Record<string, any>) => Promise<any>} options.submit raises ApiError to keep the dialog open
 */
export function openFormDialog({ title, text = null, fields, action = t("save"), isDanger = false, submit }) {
  const { closed } = openDialog({ title, className: "form-dialog", content: (close) => createForm({ text, fields, action, isDanger, submit, close }) });
  return closed;
}

function createForm({ text, fields, action, isDanger, submit, close }) {
  const error = html.div({ class: "field-error", role: "alert" });
  const button = html.button({ class: `button primary${isDanger ? " danger" : ""}` }, action);
  const rendered = fields.map(createField);
  const save = async (event) => {
    event.preventDefault();
    button.disabled = true;
    clearErrors(rendered, error);
    try {
      close((await submit(readValues(rendered))) ?? true);
    } catch (failure) {
      showErrors(failure, rendered, error);
    } finally {
      button.disabled = false;
    }
  };
  return html.form(
    { class: "dialog-form", onsubmit: save },
    text && html.p(text),
    rendered.map(({ element }) => element),
    error,
    html.div({ class: "actions" }, html.button({ type: "button", class: "button", onclick: () => close(null) }, t("cancel")), button),
  );
}

/** Return `{name, element, read, showError}`. */
function createField(field, index) {
  const id = `form-field-${++lastId}`;
  const message = html.p({ id: `${id}-error`, class: "field-error" });
  const hint = field.hint && html.p({ id: `${id}-hint`, class: "faint" }, field.hint);
  const showError = (text) => {
    message.textContent = text;
    element.querySelector(".input, input")?.setAttribute("aria-invalid", text ? "true" : "false");
  };
  const { control, read } = field.type === "checks" ? createChecks(field) : createInput(field, id, index === 0);
  const element =
    field.type === "checks"
      ? html.fieldset({ class: "field" }, html.legend(field.label), hint, control, message)
      : html.div({ class: "field" }, html.label({ for: id }, field.label), control, hint, message);
  return { name: field.name, element, read, showError };
}

function createInput(field, id, isFirst) {
  const { name, type = "text", value = "", isRequired = false, maxlength = 200, autocomplete = "off" } = field;
  const attributes = { id, class: "input", name, required: isRequired, "aria-describedby": `${field.hint ? `${id}-hint ` : ""}${id}-error`, autofocus: isFirst };
  if (type === "select") {
    const control = html.select(attributes, field.options.map(([option, label]) => html.option({ value: option, selected: option === value }, label)));
    return { control, read: () => control.value };
  }
  if (type === "textarea") {
    const control = html.textarea({ ...attributes, rows: 3, maxlength, dir: "auto", value });
    return { control, read: () => control.value.trim() };
  }
  const control = html.input({ ...attributes, type, maxlength, autocomplete, dir: "auto", value });
  return { control, read: () => (type === "password" ? control.value : control.value.trim()) };
}

function createChecks({ name, options, value = [] }) {
  const boxes = options.map(([option]) => html.input({ type: "checkbox", name, value: option, checked: value.includes(option) }));
  const control = html.div(
    { class: "checks" },
    options.map(([, label, note], index) => html.label({ class: "check" }, boxes[index], html.span(label, note && html.small(note)))),
  );
  return { control, read: () => boxes.filter((box) => box.checked).map((box) => box.value) };
}

const readValues = (rendered) => Object.fromEntries(rendered.map(({ name, read }) => [name, read()]));

function clearErrors(rendered, error) {
  for (const field of rendered) field.showError("");
  replaceChildren(error, null);
}

function showErrors(failure, rendered, error) {
  let isShown = false;
  for (const { pointer, detail } of failure?.errors ?? []) {
    const field = rendered.find(({ name }) => pointer === `#/${name}` || pointer.startsWith(`#/${name}/`));
    field?.showError(translateFieldError(detail));
    isShown ||= field !== undefined;
  }
  if (!isShown) replaceChildren(error, html.div(getErrorText(failure), getRequestId(failure)));
}

/**
 * Ask for a password or a code. Resolves to the body of POST /auth/reauthenticate, or null.
 *
 * @param {string[]} methods what the account has: "password", "totp" or both, of which one suffices
 */
export function askForProof(methods) {
  const isOnly = methods.length === 1;
  const fields = [
    { name: "password", label: t("password"), type: "password", autocomplete: "current-password", maxlength: 128, isRequired: isOnly },
    { name: "totp", label: t("totpCode"), autocomplete: "one-time-code", maxlength: 32, isRequired: isOnly },
  ].filter(({ name }) => methods.includes(name));
  return openFormDialog({
    title: t("confirmIdentity"),
    text: isOnly ? t(`confirmBy_${methods[0]}`) : t("confirmIdentityText"),
    action: t("confirm"),
    fields,
    submit: async (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value)),
  });
}

/** Show *secret*, which cannot be shown again. */
export function showSecret({ title, text, secret }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(secret);
      showNotice(t("copied"));
    } catch {
      showNotice(t("copyFailed"));
    }
  };
  const { closed } = openDialog({
    title,
    content: (close) =>
      html.div(
        { class: "dialog-form" },
        html.p(text),
        html.pre({ class: "secret", tabindex: "0", dir: "ltr", translate: "no" }, secret),
        html.div({ class: "actions" }, html.button({ type: "button", class: "button", onclick: copy }, icon("copy"), t("copy")), html.button({ type: "button", class: "button primary", onclick: () => close(true) }, t("secretSaved"))),
      ),
  });
  return closed;
}
