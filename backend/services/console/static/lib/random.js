// Random ids. crypto.randomUUID() exists only on HTTPS and localhost.

/** Return a random id of 32 hexadecimal digits. */
export function createId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
