// Connect a channel: choose it, enter its keys, copy the address for the provider, check.

import { html, renderOnChange, replaceChildren } from "../lib/dom.js";
import { hasText, t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import { CHANNELS, checkAccount, createAccount, updateAccount } from "../model/channels.js";
import { icon } from "../ui/icon.js";
import { getErrorText, getRequestId, reportErrors } from "../ui/notice.js";
import { AGENT_KEY, CHANNEL_FIELDS, formatValue, suggestSecret, toAccount } from "./channel_fields.js";
import { checkResult } from "./channel_check.js";
import { webhookSection } from "./channel_webhook.js";

const STEPS = ["choose", "keys", "webhook", "check"];

const getStepTitle = (name, channel) => (channel === "web" && hasText(`step_web_${name}`) ? t(`step_web_${name}`) : t(`step_${name}`));

export function page() {
  const state = { step: signal(0), channel: signal(null), account: signal(null), secrets: {} };
  const render = [chooseStep, keysStep, webhookStep, checkStep];
  const heading = html.h1({ class: "title" }, t("connectChannel"));
  const content = renderOnChange(
    () => state.step.value,
    (step) => {
      const title = html.h2({ tabindex: "-1" }, getStepTitle(STEPS[step], state.channel.peek()));
      if (step > 0) queueMicrotask(() => title.focus());
      return html.section({ class: "channel-step" }, title, render[step](state));
    },
  );
  return html.div(
    { class: "page-frame channels" },
    html.nav({ "aria-label": t("path") }, html.a({ href: consolePath("/settings/channels") }, icon("arrow-left"), t("channels"))),
    html.header({ class: "page-header" }, heading),
    html.ol({ class: "channel-steps", "aria-label": t("steps") }, STEPS.map((name, index) => html.li({ class: () => (index < state.step.value ? "done" : null), "aria-current": () => (index === state.step.value ? "step" : null) }, html.span({ class: "number" }, String(index + 1)), () => getStepTitle(name, state.channel.value)))),
    content,
  );
}

function chooseStep({ step, channel }) {
  const choose = (name) => {
    channel.value = name;
    step.value = 1;
  };
  return html.ul({ class: "channel-cards", role: "list" }, CHANNELS.map((name) => html.li(html.button({ type: "button", class: "channel-card", onclick: () => choose(name) }, html.strong(t(`channel_${name}`)), html.span({ class: "faint" }, t(`about_${name}`))))));
}

function keysStep(state) {
  const channel = state.channel.peek();
  const known = state.account.peek();
  const error = html.div({ class: "field-error", role: "alert" });
  const fields = [{ name: "name", kind: "name", isRequired: true }, ...CHANNEL_FIELDS[channel], AGENT_KEY].map((field) => channelField(channel, field, getValue(state, field)));
  const button = html.button({ class: "button primary" }, t("continue"));
  const save = async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(fields.map(({ name, input }) => [name, input.value.trim()]));
    const account = { name: values.name, ...toAccount(channel, values) };
    button.disabled = true;
    try {
      state.account.value = known ? await updateAccount(known.id, account) : await createAccount({ channel, ...account });
      state.secrets = Object.fromEntries(CHANNEL_FIELDS[channel].filter(({ suggest }) => suggest).map(({ name }) => [name, values[name]]));
      state.step.value = 2;
    } catch (failure) {
      const field = fields.find(({ name }) => failure.errors?.some(({ pointer }) => pointer.endsWith(`/${name}`)));
      field?.input.setAttribute("aria-invalid", "true");
      field?.input.focus();
      replaceChildren(error, html.div(getErrorText(failure), getRequestId(failure)));
    } finally {
      button.disabled = false;
    }
  };
  return html.form(
    { class: "channel-form", onsubmit: save },
    html.p({ class: "faint" }, t(`keys_${channel}`)),
    fields.map(({ element }) => element),
    error,
    html.div({ class: "inbox-actions" }, !known && html.button({ type: "button", class: "button", onclick: () => (state.step.value = 0) }, t("back")), button),
  );
}

function getValue({ account, secrets, channel }, field) {
  const { name, kind, suggest } = field;
  if (kind === "name") return account.peek()?.name ?? t(`channel_${channel.peek()}`);
  if (suggest) return secrets[name] ?? suggestSecret(channel.peek());
  return kind === "setting" ? formatValue(field, account.peek()?.settings[name]) : "";
}

/** Return `{name, input, element}`. Secrets that the user pastes are hidden. */
export function channelField(channel, { name, kind, isRequired, suggest, isList, maxlength = 4000, pattern = null }, value) {
  const key = kind === "agent" ? "agentKeyHint" : `hint_${channel}_${name}`;
  const id = `channel-${name}`;
  const attributes = { id, class: "input", name, value, required: isRequired, maxlength, autocomplete: "off", spellcheck: "false", dir: kind === "name" || channel === "web" ? "auto" : "ltr", "aria-describedby": hasText(key) ? `${id}-hint` : null };
  const type = kind !== "setting" && kind !== "name" && !suggest ? "password" : "text";
  const input = isList ? html.textarea({ ...attributes, rows: 3 }) : html.input({ ...attributes, type, pattern });
  const label = kind === "name" ? t("channelName") : t(`field_${name}`);
  return { name, input, element: html.div({ class: "field" }, html.label({ for: id }, label, !isRequired && html.span({ class: "faint" }, ` (${t("optional")})`)), input, hasText(key) && html.p({ id: `${id}-hint`, class: "faint" }, t(key))) };
}

function webhookStep({ step, account, secrets }) {
  const button = (key, target, className = "button") => html.button({ type: "button", class: className, onclick: () => (step.value = target) }, t(key));
  return html.div({ class: "channel-form" }, webhookSection(account.peek(), secrets), html.div({ class: "inbox-actions" }, button("back", 1), button("continue", 3, "button primary")));
}

function checkStep(state) {
  const isWeb = state.channel.peek() === "web";
  const result = html.div({ role: "status" });
  const button = html.button({ type: "button", class: "button primary" }, t("checkNow"));
  const check = async () => {
    button.disabled = true;
    if (!isWeb) replaceChildren(result, html.p({ class: "faint" }, t("checking")));
    const account = await reportErrors(checkAccount(state.account.peek().id));
    button.disabled = false;
    if (account) state.account.value = account;
    replaceChildren(result, account && checkResult(account));
  };
  button.addEventListener("click", check);
  check();
  return html.div(
    { class: "channel-form" },
    html.p(t(isWeb ? "checkSitesText" : "checkText")),
    result,
    html.div(
      { class: "inbox-actions" },
      html.button({ type: "button", class: "button", onclick: () => (state.step.value = 1) }, t(isWeb ? "changeSettings" : "changeKeys")),
      button,
      html.a({ class: "button", href: consolePath("/settings/channels") }, t("done")),
    ),
  );
}
