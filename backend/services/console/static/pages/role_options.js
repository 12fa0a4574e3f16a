// Options of a form field in which roles are selected.

import * as api from "../lib/api.js";

/** Return [value, label, note] of each role of the tenant. */
export async function getRoleOptions() {
  const { items } = await api.get("/auth/roles", { limit: 200 });
  return items.map(({ name, description }) => [name, name, description]);
}
