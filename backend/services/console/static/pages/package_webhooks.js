// Accounts of tracking providers: their addresses and secrets, and the webhooks that arrived.

import { html, replaceChildren } from "../lib/dom.js";
import { formatDateTime, formatNumber, formatRelativeTime, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import * as model from "../model/package_webhooks.js";
import { confirmAction } from "../ui/dialog.js";
import { openFormDialog, showSecret } from "../ui/form_dialog.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors, showNotice } from "../ui/notice.js";
import { pagedTable } from "../ui/table.js";
import { packageTabs } from "./package_tabs.js";

const SOURCES = ["easypost", "aftership", "standard"];
// These providers take a secret that the user chooses.
const GENERATED = new Set(["easypost", "standard"]);
const TONES = { done: "good", received: "faint", failed: "bad" };

export function page() {
  const version = signal(0);
  const shown = signal(null);
  const reload = () => version.update((value) => value + 1);
  const accounts = html.div();
  effect(() => {
    version.value;
    replaceChildren(accounts, pagedTable({ label: t("webhookAccounts"), columns: getColumns(shown, reload), getPage: model.getAccountPage, empty: t("noWebhookAccounts") }));
  });
  const deliveries = html.div();
  effect(() => replaceChildren(deliveries, shown.value && deliverySection(shown)));
  const create = async () => (await createAccount()) && reload();
  return html.div(
    { class: "page-frame" },
    html.header({ class: "page-header" }, html.h1({ class: "title" }, t("webhookAccounts")), packageTabs(), html.div({ class: "actions" }, html.button({ type: "button", class: "button primary", onclick: create }, icon("plus"), t("addWebhookAccount")))),
    html.p({ class: "faint" }, t("webhookAccountsText")),
    html.div({ class: "page-body" }, accounts, deliveries),
  );
}

function getColumns(shown, reload) {
  return [
    { label: t("accountName"), render: ({ name, source }) => html.div(html.strong({ dir: "auto" }, name), html.div({ class: "faint" }, t(`source_${source}`))) },
    { label: t("webhookAddress"), render: (account) => html.code({ class: "webhook-address", dir: "ltr", translate: "no" }, model.getWebhookUrl(account)) },
    { label: t("accountCreated"), render: ({ created_at: time }) => formatRelativeTime(time) },
    { render: (account) => accountMenu(account, shown, reload) },
  ];
}

function accountMenu(account, shown, reload) {
  const remove = async () => {
    if (!(await confirmAction({ title: t("deleteWebhookAccount", account.name), text: t("deleteWebhookAccountText"), action: t("delete"), isDanger: true }))) return;
    const isDeleted = await reportErrors(model.deleteAccount(account.id).then(() => true));
    if (!isDeleted) return;
    if (shown.peek()?.id === account.id) shown.value = null;
    reload();
  };
  return menuButton(iconButton("more", t("accountActions", account.name), { class: "small" }), () => [
    { label: t("showDeliveries"), icon: "queue", onSelect: () => (shown.value = { ...account }) },
    { label: t("copyAddress"), icon: "copy", onSelect: () => copy(model.getWebhookUrl(account)) },
    { label: t("replaceSecret"), icon: "key", onSelect: () => replaceSecret(account) },
    null,
    { label: t("delete"), icon: "trash", isDanger: true, onSelect: remove },
  ], { align: "end" });
}

async function copy(text) {
  const isCopied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  showNotice(t(isCopied ? "copied" : "copyFailed"));
}

const secretField = () => ({ name: "secret", label: t("webhookSecret"), type: "password", maxlength: 500, hint: t("webhookSecretHint") });

async function createAccount() {
  let created = null;
  const account = await openFormDialog({
    title: t("addWebhookAccount"),
    action: t("addWebhookAccount"),
    fields: [
      { name: "name", label: t("accountName"), isRequired: true, maxlength: 100 },
      { name: "source", label: t("webhookSource"), type: "select", value: SOURCES[0], options: SOURCES.map((source) => [source, t(`source_${source}`)]) },
      secretField(),
    ],
    submit: ({ name, source, secret }) => {
      created = chooseSecret(source, secret);
      return model.createAccount({ name, source, secret: created.secret });
    },
  });
  if (account) await showNewSecret(account, created);
  return account;
}

async function replaceSecret(account) {
  let replaced = null;
  const changed = await openFormDialog({
    title: t("replaceSecretOf", account.name),
    text: t("replaceSecretText"),
    action: t("replaceSecret"),
    fields: [secretField()],
    submit: ({ secret }) => {
      replaced = chooseSecret(account.source, secret);
      return model.replaceSecret(account.id, replaced.secret);
    },
  });
  if (changed) await showNewSecret(account, replaced);
}

/** Without a secret of the user, one is generated for providers that take it. */
function chooseSecret(source, entered) {
  const isGenerated = !entered && GENERATED.has(source);
  return { isGenerated, secret: isGenerated ? model.createSecret(source) : entered };
}

function showNewSecret(account, { isGenerated, secret }) {
  if (!isGenerated) return showNotice(t("webhookSecretStored"));
  return showSecret({ title: t("newWebhookSecret", account.name), text: t("newWebhookSecretText", model.getWebhookUrl(account)), secret });
}

/** The webhooks of an account. A test webhook of the provider appears here with its state. */
function deliverySection(shown) {
  const { id, name } = shown.peek();
  const reload = () => (shown.value = { ...shown.peek() });
  const replay = async (delivery) => (await reportErrors(model.replayDelivery(id, delivery))) && reload();
  const columns = [
    { label: t("received"), render: ({ received_at: time }) => formatDateTime(time) },
    { label: t("deliveryState"), render: ({ state, repeats }) => [html.span({ class: `status ${TONES[state]}` }, t(`delivery_${state}`)), repeats > 0 && html.div({ class: "faint" }, t("deliveryRepeats", formatNumber(repeats)))] },
    { label: t("deliveryResult"), render: ({ result, error }) => error ?? getResult(result) },
    { render: ({ id: delivery, state }) => state !== "done" && html.button({ type: "button", class: "button", onclick: () => replay(delivery) }, icon("repeat"), t("processAgain")) },
  ];
  return html.section(
    { class: "details-section", "aria-label": t("deliveriesOf", name) },
    html.header({ class: "page-header" }, html.h2({ dir: "auto" }, t("deliveriesOf", name)), html.button({ type: "button", class: "button", onclick: reload }, icon("repeat"), t("reloadDeliveries"))),
    pagedTable({ label: t("deliveriesOf", name), columns, getPage: (cursor) => model.getDeliveryPage(id, cursor), empty: t("noDeliveries") }),
  );
}

function getResult(result) {
  if (!result) return "–";
  if (result.ignored) return t("deliveryIgnored");
  return t("deliveryEvents", formatNumber(result.added), formatNumber(result.duplicates), formatNumber(result.skipped.length));
}
