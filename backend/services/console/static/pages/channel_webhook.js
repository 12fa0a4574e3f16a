// The address that a provider calls, and where it is entered.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { getWebhookUrl } from "../model/channels.js";
import { icon } from "../ui/icon.js";
import { showNotice } from "../ui/notice.js";

const LOCAL = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\]|.*\.local)$/;

/** *secrets* are values that were generated in this form, for the provider. */
export function webhookSection(account, secrets = {}) {
  const url = getWebhookUrl(account);
  return html.div(
    { class: "channel-webhook" },
    html.p(t(`webhook_${account.channel}`)),
    copyField(t("webhookUrl"), url),
    Object.entries(secrets).map(([name, value]) => copyField(t(`field_${name}`), value)),
    LOCAL.test(window.location.hostname) && html.div({ class: "warning-box" }, icon("warning"), html.p(t("localAddress"))),
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
