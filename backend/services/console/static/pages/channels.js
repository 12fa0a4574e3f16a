// Settings → Channels: the connected accounts, their state, and what can be done about it.

import { html, replaceChildren } from "../lib/dom.js";
import { formatNumber, formatRelativeTime, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import * as model from "../model/channels.js";
import { confirmAction, openDialog } from "../ui/dialog.js";
import { openFormDialog } from "../ui/form_dialog.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors, showNotice } from "../ui/notice.js";
import { pagedTable } from "../ui/table.js";
import { checkResult, explainError, isInformation } from "./channel_check.js";
import { AGENT_KEY, CHANNEL_FIELDS, formatValue, parseValue } from "./channel_fields.js";
import { webhookSection } from "./channel_webhook.js";

const PREVIOUS = "_previous";

export function page() {
  const version = signal(0);
  const reload = () => version.update((value) => value + 1);
  const body = html.div({ class: "page-body" });
  effect(() => {
    version.value;
    replaceChildren(body, pagedTable({ label: t("channels"), columns: getColumns(reload), getPage: model.getAccountPage, empty: t("noChannels") }));
  });
  return html.div(
    { class: "page-frame channels" },
    html.nav({ "aria-label": t("path") }, html.a({ href: consolePath("/settings") }, icon("arrow-left"), t("settings"))),
    html.header({ class: "page-header" }, html.h1({ class: "title" }, t("channels")), html.a({ class: "button primary", href: consolePath("/settings/channels/new") }, icon("plus"), t("connectChannel"))),
    html.p({ class: "faint" }, t("channelsText")),
    body,
  );
}

function getColumns(reload) {
  return [
    { label: t("name"), render: ({ name, channel }) => html.div(html.strong({ dir: "auto" }, name), html.div({ class: "faint" }, t(`channel_${channel}`))) },
    { label: t("state"), render: stateCell },
    { label: t("lastCheck"), render: ({ checked_at: time, id }) => (model.isForUsers({ id }) ? "–" : time ? formatRelativeTime(time) : t("never")) },
    { render: (account) => !model.isForUsers(account) && accountMenu(account, reload) },
  ];
}

function stateCell(account) {
  const { state, channel } = account;
  const error = isInformation(account.error) ? null : account.error;
  return html.div(
    { class: "channel-state" },
    html.span({ class: `status ${state === "active" && !error ? "good" : state === "stopped" ? "faint" : "bad"}` }, t(state === "active" && error ? "account_failing" : `account_${state}`)),
    error && html.div(explainError(error)),
    !account.has_agent_key && !model.isForUsers(account) && html.div({ class: "faint" }, t("noAgentKey")),
    state !== "active" && channel !== "web" && waitingCount(account),
    state === "revoked" && html.div({ class: "faint" }, t("revokedHelp")),
  );
}

/** How many messages wait for a channel that cannot send. */
function waitingCount({ id }) {
  const element = html.div({ class: "faint" });
  reportErrors(model.countWaiting(id)).then((waiting) => waiting?.count && element.append(t("messagesWait", `${formatNumber(waiting.count)}${waiting.isMore ? "+" : ""}`)));
  return element;
}

function accountMenu(account, reload) {
  const run = (action) => async () => (await reportErrors(action())) && reload();
  const hasPrevious = account.credential_names.some((name) => name.endsWith(PREVIOUS));
  return menuButton(iconButton("more", t("channelActions", account.name), { class: "small" }), () => [
    { label: t("check"), icon: "health", onSelect: () => check(account).then(reload) },
    { label: t(account.channel === "web" ? "showScript" : "showWebhook"), icon: "globe", onSelect: () => showWebhook(account) },
    { label: t("editChannel"), icon: "edit", onSelect: run(() => edit(account)) },
    { label: t("rotateKeys"), icon: "key", onSelect: run(() => rotate(account)) },
    hasPrevious && { label: t("removeOldKeys"), icon: "close", note: t("removeOldKeysNote"), onSelect: run(() => removeOld(account)) },
    account.state === "active" ? { label: t("disableChannel"), icon: "stop", onSelect: run(() => disable(account)) } : { label: t("enableChannel"), icon: "check", onSelect: run(() => model.updateAccount(account.id, { state: "active" })) },
    null,
    { label: t("delete"), icon: "trash", isDanger: true, onSelect: run(() => remove(account)) },
  ], { align: "end" });
}

async function check({ id, name }) {
  const account = await reportErrors(model.checkAccount(id));
  if (account) openDialog({ title: t("checkOf", name), hasCloseButton: true, content: () => checkResult(account) });
}

function showWebhook(account) {
  openDialog({ title: t(account.channel === "web" ? "showScript" : "showWebhook"), className: "wide", hasCloseButton: true, content: () => webhookSection(account) });
}

function edit({ id, channel, name, settings }) {
  const fields = CHANNEL_FIELDS[channel].filter(({ kind }) => kind === "setting");
  return openFormDialog({
    title: t("editChannel"),
    fields: [
      { name: "name", label: t("channelName"), value: name, isRequired: true, maxlength: 100 },
      ...fields.map((field) => ({ name: field.name, label: t(`field_${field.name}`), value: formatValue(field, settings[field.name]), isRequired: field.isRequired, maxlength: field.maxlength ?? 2000, type: field.isList ? "textarea" : "text" })),
    ],
    submit: ({ name: newName, ...texts }) => {
      const values = fields.filter((field) => texts[field.name] || channel !== "web").map((field) => [field.name, parseValue(field, texts[field.name])]);
      const kept = channel === "web" ? Object.entries(settings).filter(([each]) => !fields.some((field) => field.name === each)) : Object.entries(settings);
      return model.updateAccount(id, { name: newName, ...(fields.length ? { settings: Object.fromEntries([...kept, ...values]) } : {}) });
    },
  });
}

/** Empty fields keep their key. */
function rotate({ id, channel, name }) {
  const names = CHANNEL_FIELDS[channel].filter(({ kind }) => kind === "secret").map((field) => field.name).concat(AGENT_KEY.name);
  return openFormDialog({
    title: t("rotateKeysOf", name),
    text: t("rotateKeysText"),
    action: t("rotateKeys"),
    fields: [
      ...names.map((each) => ({ name: each, label: t(`field_${each}`), type: "password", autocomplete: "off", maxlength: 8192 })),
      ...(names.length > 1 ? [{ name: "options", label: t("oldKeys"), type: "checks", options: [["keep", t("keepOldKeys"), t("keepOldKeysNote")]], value: ["keep"] }] : []),
    ],
    submit: async ({ options = [], agent_key: agentKey, ...values }) => {
      const credentials = Object.fromEntries(Object.entries(values).filter(([, value]) => value));
      const hasKeys = Object.keys(credentials).length > 0;
      if (!hasKeys && !agentKey) return null;
      const changed = await model.updateAccount(id, { ...(hasKeys ? { credentials, keep_previous: options.includes("keep") } : {}), ...(agentKey ? { agent_key: agentKey } : {}) });
      showNotice(t("keysRotated"));
      return changed;
    },
  });
}

function removeOld({ id, credential_names: names }) {
  return model.updateAccount(id, { credentials: Object.fromEntries(names.filter((name) => name.endsWith(PREVIOUS)).map((name) => [name, null])) });
}

async function disable({ id, name }) {
  const isConfirmed = await confirmAction({ title: t("disableChannelTitle", name), text: t("disableChannelText"), action: t("disableChannel"), isDanger: true });
  return isConfirmed && model.updateAccount(id, { state: "stopped" });
}

async function remove({ id, name }) {
  const isConfirmed = await confirmAction({ title: t("deleteChannelTitle", name), text: t("deleteChannelText"), action: t("delete"), isDanger: true });
  return isConfirmed && model.deleteAccount(id).then(() => true);
}
