// The signed-in user, and settings that this browser keeps: theme, language.

import * as api from "../lib/api.js";
import { getPreferredLocale, locale, setLocale } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";

/** undefined: not known yet. null: not signed in. Otherwise the body of GET /auth/me. */
export const user = signal(undefined);
/** True after a session that existed has ended, until the next sign-in. */
export const hasExpired = signal(false);
export const theme = signal(read("theme") ?? "system");

const channel = new BroadcastChannel("session");
const EXTERNAL_SIGN_IN = "external_sign_in";
// The name in service-worker.js.
const OFFLINE_DATA = "console-data";
const START_PAGE = "/console/";

function read(name) {
  try {
    return window.localStorage.getItem(name);
  } catch {
    return null;
  }
}

function write(name, value) {
  try {
    if (value === null) window.localStorage.removeItem(name);
    else window.localStorage.setItem(name, value);
  } catch {
    // Storage is blocked or full: the setting lasts until the page is closed.
  }
}

/** True if the user has *permission*, or one of a list. */
export const can = (permission) => [permission].flat().some((each) => user.value?.permissions.includes(each));

/** Return the name of the tenant that the user works in. */
export const getTenantName = () => user.value?.tenants.find(({ id }) => id === user.value.tenant_id)?.name ?? "";

/** Work in another tenant of the user, in all tabs of this browser. The page is loaded again. */
export async function switchTenant(id) {
  await api.selectTenant(id);
  // What the service worker stored for offline use belongs to the previous tenant.
  await window.caches?.delete(OFFLINE_DATA);
  channel.postMessage("tenant-switched");
  openStart();
}

function openStart() {
  // Drafts belong to the previous tenant as well.
  window.sessionStorage.clear();
  window.location.assign(START_PAGE);
}

/** True if the user can sign in with *method*: "password", or "totp" as a second factor. */
export const hasSignInMethod = (method) => user.value?.sign_in_methods.includes(method) ?? false;

/** Update the sign-in methods of `user` after the server changed them. */
export function setSignInMethod(method, isOn) {
  user.update((account) => ({ ...account, sign_in_methods: [...account.sign_in_methods.filter((each) => each !== method), ...(isOn ? [method] : [])] }));
}

/** Return the name to show for the user. */
export const getDisplayName = () => user.value?.display_name || user.value?.username || "";

/** @param {"system" | "light" | "dark"} name */
export function setTheme(name) {
  theme.value = name;
  write("theme", name === "system" ? null : name);
  // After a reload, early.js does this.
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}

/** Load the texts of the stored language, or else of the browser's. */
export const loadLocale = () => setLocale(read("locale") ?? getPreferredLocale());

export async function changeLocale(code) {
  await setLocale(code);
  write("locale", locale.peek());
}

/**
 * Load the user of the session cookie into `user`. Raises NetworkError or ApiError if the server
 * does not respond as expected.
 */
export async function loadUser() {
  // Without a sign-in in this browser there is nothing to ask for.
  if (!read("has_session") && !window.sessionStorage.getItem(EXTERNAL_SIGN_IN)) {
    user.value = null;
    return;
  }
  try {
    setUser(await api.get("/auth/me", {}, { started: takeEarlyAccount() }));
  } catch (error) {
    if (error.status !== 401) throw error;
    user.value = null;
  }
}

/** Return the response that early.js has requested, the first time. */
function takeEarlyAccount() {
  const started = window.earlyAccount;
  delete window.earlyAccount;
  return started;
}

function setUser(account) {
  window.sessionStorage.removeItem(EXTERNAL_SIGN_IN);
  write("has_session", "true");
  hasExpired.value = false;
  user.value = account;
}

/** Sign in, or register with *path* "/auth/register". Raises ApiError. */
export async function signIn(path, credentials) {
  const response = await api.post(path, { ...credentials, session: "cookie" });
  setUser(response.user);
  channel.postMessage("signed-in");
}

/** Remember that the browser leaves for an identity provider. */
export function startExternalSignIn() {
  window.sessionStorage.setItem(EXTERNAL_SIGN_IN, "true");
}

/**
 * End this session, or all sessions of the user. Drafts are deleted. Raises NetworkError or ApiError
 * if the server does not respond as expected; a session that has ended already is no error.
 */
export async function signOut({ everywhere = false } = {}) {
  if (everywhere) await api.post("/auth/logout/all");
  else await endSessionOnServer();
  endSessionInAllTabs();
}

async function endSessionOnServer() {
  try {
    await api.post("/auth/logout");
  } catch (error) {
    // Without a response, or with a 5xx, the session may still be open.
    if (!(error.status < 500)) throw error;
  }
}

/** End the session in all tabs after it has ended on the server. */
export function endSessionInAllTabs() {
  endSession();
  channel.postMessage("signed-out");
}

function endSession() {
  window.sessionStorage.clear();
  write("has_session", null);
  hasExpired.value = false;
  user.value = null;
}

api.onSessionEnd(() => {
  if (!user.peek()) return;
  write("has_session", null);
  hasExpired.value = true;
  user.value = null;
});

channel.addEventListener("message", ({ data }) => {
  if (data === "signed-out") endSession();
  else if (data === "tenant-switched") openStart();
  else if (data === "signed-in" && !user.peek()) loadUser().catch(() => {});
});
