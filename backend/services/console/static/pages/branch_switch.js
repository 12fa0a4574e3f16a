// Switch between the alternatives of a message: "‹ 2 / 3 ›".

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { iconButton } from "../ui/icon.js";
import { reportErrors } from "../ui/notice.js";

/** Return a child that is empty while *message* has no alternatives. */
export function branchSwitch(message, thread) {
  return () => {
    const ids = message.alternatives.value;
    const index = ids.indexOf(message.id.value);
    if (ids.length < 2 || index < 0) return null;
    const select = (step) => () => reportErrors(thread.selectBranch(ids[index + step]));
    return html.span(
      { class: "branch-switch", role: "group", "aria-label": t("versions") },
      iconButton("left", t("previousVersion"), { class: "small", disabled: () => index === 0 || thread.isBusy.value, onclick: select(-1) }),
      html.span({ class: "number", dir: "ltr" }, `${index + 1} / ${ids.length}`),
      iconButton("right", t("nextVersion"), { class: "small", disabled: () => index === ids.length - 1 || thread.isBusy.value, onclick: select(1) }),
    );
  };
}
