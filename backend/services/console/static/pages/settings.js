// Settings of the user: profile, display, sign-in, sessions, API keys, notifications.

import { html } from "../lib/dom.js";
import { LOCALES, locale, t } from "../lib/i18n.js";
import { patch } from "../lib/api.js";
import { signal } from "../lib/reactive.js";
import { consolePath } from "../lib/router.js";
import { areBrowserNotificationsOn, setBrowserNotifications } from "../model/notifications.js";
import { can, changeLocale, getTenantName, setTheme, theme, user } from "../model/session.js";
import { openFormDialog } from "../ui/form_dialog.js";
import { reportErrors, showNotice } from "../ui/notice.js";
import { sensitively } from "./sensitive.js";
import { apiKeySection } from "./settings_api_keys.js";
import { passwordSection, secondFactorSection } from "./settings_sign_in.js";
import { sessionSection } from "./settings_sessions.js";
import { areSingleKeysEnabled, setSingleKeysEnabled } from "./shortcuts.js";

const THEMES = [["system", "themeSystem"], ["light", "themeLight"], ["dark", "themeDark"]];

export function page() {
  return html.div(
    { class: "page-frame settings" },
    html.header({ class: "page-header" }, html.h1({ class: "title" }, t("settings"))),
    settingsSection("profile", profile()),
    settingsSection("display", display()),
    settingsSection("notifications", notificationSetting()),
    settingsSection("passwordTitle", passwordSection()),
    settingsSection("secondFactor", secondFactorSection()),
    settingsSection("sessions", sessionSection()),
    settingsSection("apiKeys", apiKeySection()),
    can("chat:manage") && settingsSection("channels", channelSection()),
  );
}

const channelSection = () => [html.p({ class: "faint" }, t("channelsText")), html.a({ class: "button", href: consolePath("/settings/channels") }, t("openChannels"))];

function settingsSection(key, content) {
  return html.section({ class: "settings-section", "aria-labelledby": `settings-${key}` }, html.h2({ id: `settings-${key}` }, t(key)), html.div({ class: "settings-content" }, content));
}

function profile() {
  const fact = (key, read) => html.div(html.dt(t(key)), html.dd({ dir: "auto" }, () => read(user.value ?? {}) || "–"));
  return [
    html.dl({ class: "facts" }, fact("userName", ({ username }) => username), fact("displayName", ({ display_name: name }) => name), fact("email", getEmail), fact("roles", ({ roles }) => roles?.join(", ")), fact("tenant", getTenantName)),
    html.button({ type: "button", class: "button", onclick: editProfile }, t("editProfile")),
  ];
}

const getEmail = ({ email, pending_email: pending }) => (pending ? t("emailPending", email ?? "–", pending) : email);

async function editProfile() {
  const { display_name: name, email } = user.peek();
  const changed = await openFormDialog({
    title: t("editProfile"),
    fields: [
      { name: "display_name", label: t("displayName"), value: name ?? "", autocomplete: "name" },
      { name: "email", label: t("email"), type: "email", value: email ?? "", maxlength: 254, autocomplete: "email", hint: t("emailHint") },
    ],
    submit: (values) => {
      const changes = {};
      if (values.display_name !== (name ?? "")) changes.display_name = values.display_name || null;
      if (values.email !== (email ?? "")) changes.email = values.email || null;
      return Object.keys(changes).length ? sensitively(() => patch("/auth/me", changes)) : null;
    },
  });
  if (changed?.id) user.value = changed;
}

function display() {
  const select = (label, entries, current, onSelect) =>
    html.label({ class: "field" }, html.span(label), html.select({ class: "input", onchange: (event) => onSelect(event.currentTarget.value) }, entries.map(([value, text]) => html.option({ value, selected: value === current }, text))));
  return html.div(
    { class: "settings-fields" },
    select(t("theme"), THEMES.map(([name, key]) => [name, t(key)]), theme.peek(), setTheme),
    select(t("language"), LOCALES, locale.peek(), (code) => reportErrors(changeLocale(code))),
    html.label({ class: "checkbox" }, html.input({ type: "checkbox", checked: areSingleKeysEnabled.peek(), onchange: (event) => setSingleKeysEnabled(event.currentTarget.checked) }), html.span(t("singleKeyShortcuts"))),
  );
}

function notificationSetting() {
  if (!("Notification" in window)) return html.p({ class: "faint" }, t("notificationsUnsupported"));
  const hint = signal("");
  const change = async (event) => {
    const wanted = event.currentTarget.checked;
    const isOn = await setBrowserNotifications(wanted);
    if (wanted && !isOn) hint.value = t("notificationsBlocked");
    else showNotice(t(isOn ? "notificationsOn" : "notificationsOff"));
    event.target.checked = isOn;
  };
  return [
    html.label({ class: "checkbox" }, html.input({ type: "checkbox", checked: areBrowserNotificationsOn.peek(), onchange: change }), html.span(t("browserNotifications"))),
    html.p({ class: "faint" }, t("browserNotificationsText")),
    html.p({ class: "field-error", role: "alert" }, () => hint.value),
  ];
}
