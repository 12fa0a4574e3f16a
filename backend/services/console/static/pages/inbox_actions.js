// Who answers a conversation of the inbox, and its state: buttons and menu.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { colleagues, getColleagueName, isMe } from "../model/colleagues.js";
import { can, user } from "../model/session.js";
import { icon, iconButton } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors, showNotice } from "../ui/notice.js";
import { openFormDialog } from "../ui/form_dialog.js";

/** Return the text of the assignee, or of the mode without one. */
export function modeText({ mode, assignee_id: assignee }) {
  if (assignee) return isMe(assignee) ? t("youAnswer") : t("colleagueAnswers", getColleagueName(assignee));
  return t(`mode_${mode}`);
}

/** Return the buttons for *opened*, which change with its state. */
export function conversationActions(opened) {
  if (!can("chat:reply")) return null;
  return html.div({ class: "inbox-actions" }, () => buttons(opened, opened.conversation.value), menu(opened));
}

function buttons(opened, { assignee_id: assignee, mode, status }) {
  const button = (key, name, onclick, className = "button") => html.button({ type: "button", class: className, onclick }, icon(name), t(key));
  return [
    assignee === null && button("claim", "user", () => claim(opened)),
    isMe(assignee) && mode !== "bot" && button("giveToAgent", "spark", () => giveToAgent(opened)),
    status === "resolved" ? button("reopen", "repeat", () => setStatus(opened, "open")) : button("resolve", "check", () => resolve(opened)),
  ];
}

function menu(opened) {
  const items = () => {
    const { assignee_id: assignee, mode, status } = opened.conversation.peek();
    const mayAssign = !assignee || isMe(assignee) || can("chat:manage");
    return [
      mayAssign && { label: t("assign"), icon: "users", onSelect: () => assign(opened) },
      mayAssign && assignee && { label: t("release"), icon: "close", onSelect: () => change(opened, { assignee_id: null }) },
      mayAssign && mode !== "bot" && { label: t("giveToAgent"), icon: "spark", onSelect: () => giveToAgent(opened) },
      mayAssign && mode === "bot" && { label: t("pauseAgent"), icon: "stop", note: t("pauseAgentNote"), onSelect: () => change(opened, { mode: "paused" }) },
      status === "open" && { label: t("setPending"), icon: "clock", note: t("setPendingNote"), onSelect: () => setStatus(opened, "pending") },
      status === "pending" && { label: t("reopen"), icon: "repeat", onSelect: () => setStatus(opened, "open") },
    ];
  };
  return menuButton(iconButton("more", t("moreActions")), items, { align: "end" });
}

const change = (opened, changes) => reportErrors(opened.change(changes));

export const claim = (opened) => reportErrors(opened.claim());

const giveToAgent = (opened) => change(opened, { mode: "bot", assignee_id: null });

const setStatus = (opened, status) => change(opened, { status });

export async function resolve(opened) {
  if (!(await setStatus(opened, "resolved"))) return;
  showNotice(t("resolvedNotice"), { action: t("undo"), onAction: () => setStatus(opened, "open") });
}

/** Assign the conversation to the user or to a colleague who can answer. */
async function assign(opened) {
  const { assignee_id: current } = opened.conversation.peek();
  const others = [...colleagues.peek().values()].filter(({ id, can_reply: canReply }) => canReply && !isMe(id));
  const me = user.peek().id;
  const options = [[me, t("assignToMe")], ...others.map(({ id, name }) => [id, name])];
  await openFormDialog({
    title: t("assign"),
    action: t("assign"),
    fields: [{ name: "assignee_id", label: t("colleague"), type: "select", options, value: current ?? me }],
    submit: async ({ assignee_id: assignee }) => opened.change({ assignee_id: assignee, mode: "human", expected_assignee_id: current }),
  });
}
