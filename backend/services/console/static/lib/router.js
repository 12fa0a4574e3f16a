// The current address below /console, and navigation.
//
//   route.value                      { path: "/documents", query: URLSearchParams, hash: "" }
//   navigate("/c/abc", { replace })  go to a screen
//   updateQuery({ q: "text" })       change parameters of the address, without a new history entry
//   consolePath("/documents")        "/console/documents", for href
//   matchPath("/c/:id", path)        { id } or null

import { signal } from "./reactive.js";

export const BASE_PATH = "/console";

export const route = signal(readRoute());

function readRoute() {
  const { pathname, search, hash } = window.location;
  const path = pathname.startsWith(BASE_PATH) ? pathname.slice(BASE_PATH.length) : pathname;
  return { path: path.replace(/\/+$/, "") || "/", query: new URLSearchParams(search), hash };
}

/** Return the address of the screen *path*. */
export const consolePath = (path) => BASE_PATH + path;

/** Show the screen at *path*. With *silent*, the address changes and the screen stays. */
export function navigate(path, { replace = false, silent = false } = {}) {
  window.history[replace ? "replaceState" : "pushState"](null, "", consolePath(path));
  if (!silent) route.value = readRoute();
}

/** Set or, with null or "", remove query parameters of the current address. */
export function updateQuery(changes) {
  const query = new URLSearchParams(window.location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  window.history.replaceState(null, "", window.location.pathname + (text ? `?${text}` : ""));
  route.value = readRoute();
}

/** Match *path* with a pattern such as "/admin/users/:id". @returns {Record<string, string> | null} */
export function matchPath(pattern, path) {
  const names = pattern.split("/");
  const parts = path.split("/");
  if (names.length !== parts.length) return null;
  const parameters = {};
  for (const [index, name] of names.entries()) {
    if (!name.startsWith(":")) {
      if (name !== parts[index]) return null;
    } else {
      const value = decodePart(parts[index]);
      if (!value) return null;
      parameters[name.slice(1)] = value;
    }
  }
  return parameters;
}

function decodePart(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}

function isPlainClick(event) {
  return !event.defaultPrevented && event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
}

/** Handle clicks on links to screens, and the browser's back and forward buttons. */
export function startRouter() {
  window.addEventListener("popstate", () => {
    route.value = readRoute();
  });
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (!link || !isPlainClick(event) || link.target || link.hasAttribute("download")) return;
    if (link.origin !== window.location.origin || !`${link.pathname}/`.startsWith(`${BASE_PATH}/`)) return;
    if (link.hash && link.pathname === window.location.pathname) return;
    event.preventDefault();
    navigate(link.pathname.slice(BASE_PATH.length) + link.search);
  });
}
