// Password and second factor of the user.

import * as api from "../lib/api.js";
import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { hasSignInMethod, setSignInMethod } from "../model/session.js";
import { openDialog } from "../ui/dialog.js";
import { openFormDialog, showSecret } from "../ui/form_dialog.js";
import { icon } from "../ui/icon.js";
import { qrCode } from "../ui/qr_code.js";
import { getErrorText, reportErrors, showNotice } from "../ui/notice.js";
import { sensitively } from "./sensitive.js";

/** Return a child that shows what applies: a user of an identity provider may have no password. */
export function passwordSection() {
  return () => (hasSignInMethod("password") ? passwordChange() : html.p({ class: "faint" }, t("noPasswordText")));
}

function passwordChange() {
  return [html.p({ class: "faint" }, t("passwordText")), html.button({ type: "button", class: "button", onclick: changePassword }, icon("key"), t("changePassword"))];
}

async function changePassword() {
  const password = (name, label, autocomplete) => ({ name, label: t(label), type: "password", isRequired: true, maxlength: 128, autocomplete });
  const isChanged = await openFormDialog({
    title: t("changePassword"),
    action: t("changePassword"),
    fields: [password("current_password", "currentPassword", "current-password"), password("new_password", "newPassword", "new-password"), password("repeated", "repeatPassword", "new-password")],
    submit: async ({ current_password: current, new_password: next, repeated }) => {
      if (next !== repeated) throw new api.ApiError({ errors: [{ pointer: "#/repeated", detail: t("passwordsDiffer") }] }, 422);
      await api.post("/auth/password/change", { current_password: current, new_password: next });
    },
  });
  if (isChanged) showNotice(t("passwordChanged"));
}

export function secondFactorSection() {
  const button = (key, onclick) => html.button({ type: "button", class: "button", onclick }, t(key));
  return [
    html.p({ class: "faint" }, t("secondFactorText")),
    html.p({ role: "status" }, () => (hasSignInMethod("totp") ? html.span({ class: "status good" }, t("secondFactorOn")) : html.span({ class: "status" }, t("secondFactorOff")))),
    () => {
      if (!hasSignInMethod("totp")) return button("setUpSecondFactor", () => reportErrors(setUpSecondFactor()));
      return hasSignInMethod("password") && button("turnOffSecondFactor", turnOffSecondFactor);
    },
  ];
}

async function setUpSecondFactor() {
  let enrollment;
  try {
    enrollment = await sensitively(() => api.post("/auth/mfa/totp"));
  } catch (error) {
    if (error.code !== "totp_active") throw error;
    // Another tab or device turned it on.
    setSignInMethod("totp", true);
    showNotice(t("secondFactorIsOn"));
    return;
  }
  if (!enrollment) return;
  const codes = await confirmEnrollment(enrollment);
  if (!codes) return;
  setSignInMethod("totp", true);
  await showSecret({ title: t("recoveryCodes"), text: t("recoveryCodesText"), secret: codes.join("\n") });
}

/** Show the secret, and ask for the first code. Resolves to the recovery codes, or null. */
function confirmEnrollment({ secret, otpauth_uri: uri, qr_code: rows }) {
  const error = html.p({ class: "field-error", role: "alert" });
  const input = html.input({ class: "input", inputmode: "numeric", autocomplete: "one-time-code", required: true, maxlength: 32 });
  const { closed } = openDialog({
    title: t("secondFactor"),
    content: (close) => {
      const confirm = async (event) => {
        event.preventDefault();
        try {
          const { recovery_codes: codes } = await sensitively(() => api.post("/auth/mfa/totp/confirm", { code: input.value.trim() }));
          close(codes);
        } catch (failure) {
          error.textContent = failure.code === "invalid_totp" ? t("invalidTotp") : getErrorText(failure);
        }
      };
      return html.form(
        { class: "dialog-form", onsubmit: confirm },
        html.p(t("totpStepApp")),
        qrCode(rows, t("qrCodeLabel")),
        html.details(
          html.summary(t("totpStepKey")),
          html.pre({ class: "secret", tabindex: "0", dir: "ltr", translate: "no", "aria-label": t("totpSecret") }, groupByFour(secret)),
          html.p(html.a({ href: uri }, t("openInApp"))),
        ),
        html.label({ class: "field" }, html.span(t("totpFirstCode")), input),
        error,
        html.div({ class: "actions" }, html.button({ type: "button", class: "button", onclick: () => close(null) }, t("cancel")), html.button({ class: "button primary" }, t("turnOn"))),
      );
    },
  });
  return closed;
}

const groupByFour = (secret) => secret.replace(/(.{4})(?=.)/g, "$1 ");

async function turnOffSecondFactor() {
  const isOff = await openFormDialog({
    title: t("turnOffSecondFactor"),
    text: t("turnOffText"),
    action: t("turnOff"),
    isDanger: true,
    fields: [
      { name: "password", label: t("password"), type: "password", isRequired: true, maxlength: 128, autocomplete: "current-password" },
      { name: "code", label: t("totpCode"), isRequired: true, maxlength: 32, autocomplete: "one-time-code" },
    ],
    submit: (values) => api.request("/auth/mfa/totp", { method: "DELETE", body: values }),
  });
  if (!isOff) return;
  setSignInMethod("totp", false);
  showNotice(t("secondFactorIsOff"));
}
