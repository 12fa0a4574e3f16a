// Sensitive requests with the dialog that asks for the password.

import { withRecentProof } from "../model/recent_proof.js";
import { askForProof } from "../ui/form_dialog.js";

/** Call *action*; ask for the password if the request needs a recent proof. */
export const sensitively = (action) => withRecentProof(action, askForProof);
