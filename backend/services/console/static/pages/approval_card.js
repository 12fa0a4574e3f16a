// Asks the user to allow or refuse tool calls with side effects.

import { html } from "../lib/dom.js";
import { formatDateTime, t } from "../lib/i18n.js";
import { icon } from "../ui/icon.js";
import { reportErrors } from "../ui/notice.js";
import { getToolName, toolArguments } from "./step_list.js";

export function approvalCard(message, thread) {
  const { approval, waiting } = message.approval.value;
  const decide = (decision) => () => reportErrors(thread.decide(message, decision));
  return html.section(
    { class: "approval", "aria-label": t("approvalTitle") },
    html.h3(icon("shield"), t("approvalTitle")),
    html.p(t("approvalText")),
    html.ul({ role: "list" }, waiting.map((call) => html.li(html.strong(getToolName(call.tool)), toolArguments(call.arguments)))),
    html.div(
      { class: "actions" },
      approval && html.span({ class: "faint" }, t("approvalExpires", formatDateTime(approval.expires_at))),
      html.button({ type: "button", class: "button", disabled: () => thread.isBusy.value, onclick: decide("reject") }, t("reject")),
      html.button({ type: "button", class: "button primary", disabled: () => thread.isBusy.value, onclick: decide("approve") }, t("approve")),
    ),
  );
}
