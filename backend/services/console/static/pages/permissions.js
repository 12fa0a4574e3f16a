// What each permission allows, in the user's language.

import { hasText, t } from "../lib/i18n.js";

/** Return a description of *permission*, or null for a permission that this console does not know. */
export function describePermission(permission) {
  const key = `permission_${permission}`;
  return hasText(key) ? t(key) : null;
}
