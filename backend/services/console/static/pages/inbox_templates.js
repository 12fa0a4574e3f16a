// Dialog that chooses a template of the channel, and asks for its parameters.

import { html, renderOnChange, replaceChildren } from "../lib/dom.js";
import { hasText, t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { fillTemplate, getTemplates, readTemplate, syncTemplates } from "../model/channels.js";
import { can } from "../model/session.js";
import { openDialog } from "../ui/dialog.js";
import { icon } from "../ui/icon.js";
import { reportErrors } from "../ui/notice.js";
import { asyncContent, emptyState } from "../ui/states.js";

/** Resolve to content of the type `template`, or null. */
export async function chooseTemplate({ account_id: accountId }) {
  const { closed } = openDialog({
    title: t("chooseTemplate"),
    className: "wide",
    hasCloseButton: true,
    content: (close) => {
      const body = html.div();
      const show = () => replaceChildren(body, asyncContent(() => getTemplates(accountId), (templates) => [templates.length ? picker(templates, close) : emptyState(t("noTemplates")), syncButton(accountId, show)]));
      show();
      return body;
    },
  });
  return closed;
}

/** Those who manage channels can read the templates from the provider again. */
function syncButton(accountId, show) {
  if (!can("chat:manage")) return null;
  const sync = async (event) => {
    event.currentTarget.disabled = true;
    await reportErrors(syncTemplates(accountId));
    show();
  };
  return html.button({ type: "button", class: "link-button", onclick: sync }, t("syncTemplates"));
}

const isApproved = ({ status }) => status.toUpperCase() === "APPROVED";

function picker(templates, close) {
  const selected = signal(null);
  const sorted = [...templates].sort((first, second) => isApproved(second) - isApproved(first) || first.name.localeCompare(second.name));
  return html.div(
    { class: "dialog-form" },
    html.fieldset({ class: "inbox-templates" }, html.legend({ class: "visually-hidden" }, t("templates")), sorted.map((template) => option(template, selected))),
    renderOnChange(() => selected.value, (template) => template && parameterForm(template, close)),
  );
}

/** Return a template. One that the provider has not approved is disabled, with the reason. */
function option(template, selected) {
  const { name, language, status } = template;
  const key = `template_${status.toUpperCase()}`;
  const canSend = isApproved(template);
  return html.label(
    { class: `inbox-template${canSend ? "" : " unusable"}` },
    html.input({ type: "radio", name: "template", disabled: !canSend, onchange: () => (selected.value = template) }),
    html.span(
      html.span({ class: "inbox-template-head" }, html.strong({ dir: "auto" }, name), html.span({ class: "tag" }, language), !canSend && html.span({ class: "inbox-alert" }, icon("warning"), [hasText(key) ? t(key) : status, template.reason].filter(Boolean).join(": "))),
      html.span({ class: "faint inbox-text", dir: "auto" }, readTemplate(template).text),
    ),
  );
}

function parameterForm(template, close) {
  const { text, parameters } = readTemplate(template);
  const values = signal({});
  const send = (event) => {
    event.preventDefault();
    close({ type: "template", name: template.name, language: template.language, parameters: values.peek() });
  };
  return html.form(
    { class: "dialog-form", onsubmit: send },
    parameters.map((name) =>
      html.label(
        { class: "field" },
        html.span(t("templateParameter", name)),
        html.input({ class: "input", required: true, maxlength: 1000, dir: "auto", autocomplete: "off", oninput: ({ currentTarget }) => (values.value = { ...values.peek(), [name]: currentTarget.value }) }),
      ),
    ),
    html.div({ class: "field" }, html.span(t("preview")), html.p({ class: "inbox-preview inbox-text", dir: "auto" }, () => fillTemplate(text, values.value))),
    html.div({ class: "actions" }, html.button({ type: "button", class: "button", onclick: () => close(null) }, t("cancel")), html.button({ class: "button primary" }, t("sendTemplate"))),
  );
}
