// Modal dialogs.
//
//   openDialog({ title, content, className })              → { dialog, close(value), closed: Promise }
//   await confirmAction({ title, text, action, isDanger }) → boolean
//   await askForText({ title, label, value, action })      → string or null

import { append, html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { createScope } from "../lib/reactive.js";
import { iconButton } from "./icon.js";

let lastId = 0;

/**
 * Open a modal dialog. Escape and a click outside close it with null. Focus returns to the element
 * that had it.
 *
 * @param {object} options
 * @param {string} options.title heading, and name of the dialog
 * @param {(close: (value?: any) => void) => any} options.content
 * @param {boolean} [options.hasCloseButton]
 */
export function openDialog({ title, content, className = "", hasCloseButton = false }) {
  const opener = document.activeElement;
  const scope = createScope();
  const id = `dialog-title-${++lastId}`;
  let result = null;
  const dialog = html.dialog({ class: `dialog ${className}`.trim(), "aria-labelledby": id });
  const close = (value = null) => {
    result = value;
    dialog.close();
  };
  scope.run(() =>
    append(dialog, [
      html.div(
        html.header({ class: "dialog-header" }, html.h2({ id }, title), hasCloseButton && iconButton("close", t("close"), { onclick: () => close() })),
        content(close),
      ),
    ]),
  );
  const closed = new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      scope.dispose();
      dialog.remove();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
      resolve(result);
    });
  });
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target === dialog && !isInside(event, dialog.getBoundingClientRect())) close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return { dialog, close, closed };
}

const isInside = ({ clientX, clientY }, box) => clientX >= box.left && clientX <= box.right && clientY >= box.top && clientY <= box.bottom;

/** Ask for a confirmation. *title* names the affected object. @returns {Promise<boolean>} */
export async function confirmAction({ title, text, action, isDanger = false }) {
  const { closed } = openDialog({
    title,
    content: (close) => [
      text && html.p(text),
      html.div(
        { class: "actions" },
        html.button({ type: "button", class: "button", autofocus: true, onclick: () => close(false) }, t("cancel")),
        html.button({ type: "button", class: `button primary${isDanger ? " danger" : ""}`, onclick: () => close(true) }, action),
      ),
    ],
  });
  return (await closed) === true;
}

/** Ask for one line of text. @returns {Promise<string | null>} trimmed text, or null if cancelled */
export async function askForText({ title, label, value = "", action = t("save"), type = "text", maxlength = 120 }) {
  const input = html.input({ class: "input", type, value, maxlength, required: true, autofocus: true, dir: "auto", autocomplete: "off" });
  const { closed } = openDialog({
    title,
    content: (close) =>
      html.form(
        {
          class: "dialog-form",
          onsubmit: (event) => {
            event.preventDefault();
            const text = type === "password" ? input.value : input.value.trim();
            if (text) close(text);
          },
        },
        html.label({ class: "field" }, html.span(label), input),
        html.div({ class: "actions" }, html.button({ type: "button", class: "button", onclick: () => close(null) }, t("cancel")), html.button({ class: "button primary" }, action)),
      ),
  });
  input.select();
  return closed;
}
