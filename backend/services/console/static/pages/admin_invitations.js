// Invitations: people who were invited by mail and have not accepted yet.

import * as api from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatDateTime, formatRelativeTime, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { can } from "../model/session.js";
import { confirmAction } from "../ui/dialog.js";
import { openFormDialog } from "../ui/form_dialog.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors, showNotice } from "../ui/notice.js";
import { pagedTable } from "../ui/table.js";
import { adminFrame } from "./admin_frame.js";
import { getRoleOptions } from "./role_options.js";
import { sensitively } from "./sensitive.js";

const PAGE_SIZE = 50;

export function page() {
  const version = signal(0);
  const reload = () => version.update((value) => value + 1);
  const body = html.div({ class: "page-body" });
  effect(() => {
    version.value;
    replaceChildren(body, pagedTable({ label: t("invitations"), columns: getColumns(reload), getPage: (cursor) => api.get("/auth/invitations", { limit: PAGE_SIZE, cursor }), empty: t("noInvitations") }));
  });
  const add = can("users:write") && html.button({ type: "button", class: "button primary", onclick: () => invite().then((created) => created && reload()) }, icon("plus"), t("invite"));
  return adminFrame("invitations", add, html.p({ class: "faint" }, t("invitationsText")), body);
}

function getColumns(reload) {
  return [
    { label: t("email"), render: ({ email }) => html.strong({ dir: "auto" }, email) },
    { label: t("roles"), render: ({ roles }) => html.span({ class: "tags" }, roles.map((role) => html.span({ class: "tag" }, role))) },
    { label: t("state"), render: stateCell },
    { label: t("sent"), render: ({ created_at: time }) => formatDateTime(time) },
    { render: (invitation) => can("users:write") && invitationMenu(invitation, reload) },
  ];
}

function stateCell({ expires_at: expiry }) {
  const isExpired = new Date(expiry) <= new Date();
  return html.span({ class: `status ${isExpired ? "bad" : "good"}` }, isExpired ? t("expired") : t("expires", formatRelativeTime(expiry)));
}

function invitationMenu(invitation, reload) {
  const run = async (action) => {
    if (await reportErrors(action())) reload();
  };
  return menuButton(iconButton("more", t("invitationActions", invitation.email), { class: "small" }), () => [
    { label: t("sendAgain"), note: t("sendAgainNote"), icon: "repeat", onSelect: () => run(() => sendAgain(invitation)) },
    { label: t("withdraw"), icon: "trash", isDanger: true, onSelect: () => run(() => withdraw(invitation)) },
  ], { align: "end" });
}

async function invite() {
  const roles = await reportErrors(getRoleOptions());
  if (!roles) return null;
  const created = await openFormDialog({
    title: t("newInvitation"),
    text: t("newInvitationText"),
    action: t("sendInvitation"),
    fields: [
      { name: "email", label: t("email"), type: "email", isRequired: true, maxlength: 254 },
      { name: "roles", label: t("roles"), type: "checks", options: roles, value: ["user"] },
    ],
    submit: (values) => sensitively(() => api.post("/auth/invitations", values)),
  });
  if (created?.email) showNotice(t("invitationSent", created.email));
  return created;
}

async function sendAgain({ email, roles }) {
  const created = await sensitively(() => api.post("/auth/invitations", { email, roles }));
  if (created) showNotice(t("invitationSent", email));
  return created;
}

async function withdraw({ id, email }) {
  const isConfirmed = await confirmAction({ title: t("withdrawInvitation", email), text: t("withdrawInvitationText"), action: t("withdraw"), isDanger: true });
  return isConfirmed && sensitively(() => api.remove(`/auth/invitations/${id}`).then(() => true));
}
