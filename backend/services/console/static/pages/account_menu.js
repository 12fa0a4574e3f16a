// Account button at the foot of the sidebar: theme, language, settings, sign-out.

import { html } from "../lib/dom.js";
import { LOCALES, locale, t } from "../lib/i18n.js";
import { consolePath } from "../lib/router.js";
import { changeLocale, getDisplayName, getTenantName, setTheme, signOut, switchTenant, theme, user } from "../model/session.js";
import { icon } from "../ui/icon.js";
import { menuButton } from "../ui/menu.js";
import { reportErrors } from "../ui/notice.js";
import { SCREENS } from "./screens.js";
import { showShortcuts } from "./shortcuts.js";

const THEMES = [
  ["system", "display", "themeSystem"],
  ["light", "sun", "themeLight"],
  ["dark", "moon", "themeDark"],
];

export function accountMenu() {
  const button = html.button(
    { type: "button", class: "account", "aria-label": () => `${getDisplayName()}, ${t("accountMenu")}` },
    html.span({ class: "initial", "aria-hidden": "true" }, () => getDisplayName().slice(0, 1).toUpperCase()),
    html.span(
      { class: "account-text" },
      html.span({ class: "truncate", dir: "auto" }, getDisplayName),
      () => hasTenants() && html.span({ class: "truncate faint", dir: "auto" }, getTenantName),
    ),
    icon("more"),
  );
  return menuButton(button, getItems, { side: "above" });
}

const hasTenants = () => user.value?.tenants.length > 1;

function getItems() {
  return [
    ...getTenantItems(),
    SCREENS.some(({ path }) => path === "/settings") && { label: t("settings"), icon: "settings", href: consolePath("/settings") },
    { label: t("keyboardShortcuts"), icon: "keyboard", onSelect: showShortcuts },
    null,
    ...THEMES.map(([name, iconName, key]) => ({ label: t(key), icon: iconName, isChecked: theme.peek() === name, onSelect: () => setTheme(name) })),
    null,
    ...LOCALES.map(([code, label]) => ({ label, icon: "globe", isChecked: locale.peek() === code, onSelect: () => reportErrors(changeLocale(code)) })),
    null,
    { label: t("signOut"), note: user.peek()?.username, icon: "sign-out", onSelect: () => reportErrors(signOut()) },
    { label: t("signOutEverywhere"), icon: "sign-out", isDanger: true, onSelect: () => reportErrors(signOut({ everywhere: true })) },
  ];
}

/** A user of several tenants works in one of them at a time. */
function getTenantItems() {
  if (!hasTenants()) return [];
  const { tenants, tenant_id: current } = user.peek();
  return [...tenants.map(({ id, name }) => ({ label: name, note: t("tenantNote"), icon: "users", isChecked: id === current, onSelect: () => id !== current && reportErrors(switchTenant(id)) })), null];
}
