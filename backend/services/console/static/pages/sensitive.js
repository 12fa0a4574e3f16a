// Sensitive requests with the dialog that asks for the password.

import { t } from "../lib/i18n.js";
import { withRecentProof } from "../model/recent_proof.js";
import { signOut, user } from "../model/session.js";
import { confirmAction } from "../ui/dialog.js";
import { askForProof } from "../ui/form_dialog.js";

/** Call *action*; ask for the password or a code if the request needs a recent proof. */
export const sensitively = (action) => withRecentProof(action, getProof);

/** Return the body of POST /auth/reauthenticate, or null. */
async function getProof() {
  const methods = user.peek().sign_in_methods;
  if (methods.length) return askForProof(methods);
  // A user of an identity provider proves to be present by another sign-in.
  if (await confirmAction({ title: t("confirmIdentity"), text: t("confirmBySignIn"), action: t("signOut") })) await signOut();
  return null;
}
