// Names of the people in the tenant, for those who work in the team inbox.

import { getAllItems } from "../lib/api.js";
import { t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { getDisplayName, user } from "./session.js";

const MAX_COLLEAGUES = 1000;

/** Map from user ids to { id, name, can_reply }. */
export const colleagues = signal(new Map());

/** Load the names. Without them the inbox shows people as "A colleague". */
export async function loadColleagues() {
  const found = new Map();
  try {
    for await (const colleague of getAllItems("/auth/colleagues")) {
      found.set(colleague.id, colleague);
      if (found.size === MAX_COLLEAGUES) break;
    }
  } catch (error) {
    if (error.status === 401) return;
  }
  colleagues.value = found;
}

export const isMe = (id) => id === user.value?.id;

/** Return the name of a user of the tenant. */
export const getColleagueName = (id) => (isMe(id) ? getDisplayName() : colleagues.value.get(id)?.name ?? t("aColleague"));
