// The address that a provider calls, and where it is entered; of web chat, the script for sites.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { getScriptTag, getWebhookUrl } from "../model/channels.js";
import { icon } from "../ui/icon.js";
import { showNotice } from "../ui/notice.js";

const LOCAL = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\]|.*\.local)$/;

/** *secrets* are values that were generated in this form, for the provider. */
export function webhookSection(account, secrets = {}) {
  if (account.channel === "web") return scriptSection(account);
  const url = getWebhookUrl(account);
  return html.div(
    { class: "channel-webhook" },
    html.p(t(`webhook_${account.channel}`)),
    copyField(t("webhookUrl"), url),
    Object.entries(secrets).map(([name, value]) => copyField(t(`field_${name}`), value)),
    LOCAL.test(window.location.hostname) && html.div({ class: "warning-box" }, icon("warning"), html.p(t("localAddress"))),
  );
}

function scriptSection(account) {
  const host = window.location.origin;
  return html.div(
    { class: "channel-webhook" },
    html.p(t("scriptText")),
    copyField(t("scriptTag"), getScriptTag(account)),
    html.p({ class: "faint" }, t("scriptPolicy")),
    copyField(t("contentSecurityPolicy"), `script-src ${host}; frame-src ${host}`),
  );
}

function copyField(label, value) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      showNotice(t("copied"));
    } catch {
      showNotice(t("copyFailed"));
    }
  };
  return html.div(
    { class: "copy-field" },
    html.label({ class: "field" }, html.span(label), html.input({ class: "input", readonly: true, value, dir: "ltr", translate: "no", onfocus: (event) => event.currentTarget.select() })),
    html.button({ type: "button", class: "button", "aria-label": t("copyNamed", label), onclick: copy }, icon("copy"), t("copy")),
  );
}
