// Dialog with all keyboard shortcuts.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { openDialog } from "../ui/dialog.js";
import { areSingleKeysEnabled, MODIFIER, setSingleKeysEnabled, SHIFT } from "./shortcuts.js";

const getShortcuts = () => [
  [`${MODIFIER}K`, t("openPalette")],
  [`${MODIFIER}${SHIFT}O`, t("newConversation")],
  [`${MODIFIER}B`, t("toggleMenu")],
  ["F6", t("nextRegion")],
  ["/", t("focusComposer")],
  ["?", t("keyboardShortcuts")],
  ["↑", t("editLastRequest")],
  ["Esc", t("stopOrClose")],
];

export function shortcutList() {
  openDialog({
    title: t("keyboardShortcuts"),
    hasCloseButton: true,
    content: () => [
      html.dl({ class: "shortcut-list" }, getShortcuts().map(([keys, text]) => html.div(html.dt(html.kbd(keys)), html.dd(text)))),
      html.label({ class: "checkbox" }, html.input({ type: "checkbox", checked: areSingleKeysEnabled.peek(), onchange: (event) => setSingleKeysEnabled(event.currentTarget.checked) }), html.span(t("singleKeyShortcuts"))),
    ],
  });
}
