// Sensitive requests need a recent proof that the user is present: a password or a code.

import { post } from "../lib/api.js";

/**
 * Call *action*. If it needs a recent proof, call *askForProof* and repeat the action once.
 *
 * @param {() => Promise<any>} action
 * @param {() => Promise<{password?: string, totp?: string} | null>} askForProof null: cancelled
 * @returns {Promise<any>} null if the user cancelled
 */
export async function withRecentProof(action, askForProof) {
  try {
    return await action();
  } catch (error) {
    if (error.code !== "reauthentication_required") throw error;
  }
  const proof = await askForProof();
  if (!proof) return null;
  await post("/auth/reauthenticate", proof);
  return action();
}
