// Lets the console be installed, and shows what was loaded before while there is no connection.
//
// Files of the interface: from the cache of this version, else from the network. The page and data
// that the user has read: from the network, else the last response. Data is deleted when the user
// signs out or the session ends. Only GET requests of the listed paths are stored.

const VERSION = "{{version}}";
const PRELOADS = {{preloads}};
const PAGE = "/console/";
const FILES = `console-files-${VERSION}`;
const DATA = "console-data";
const MAX_DATA_ENTRIES = 150;
const NETWORK_TIMEOUT_MS = 8000;

const STORED_DATA = [
  /^\/auth\/me$/,
  /^\/agent\/(?:sessions(?:\/[\w-]+)?|models|personas)$/,
  /^\/rag\/documents(?:\/[\w-]+(?:\/chunks|\/pages\/\d+(?:\.webp)?)?)?$/,
  /^\/rag\/collections$/,
  /^\/packages(?:\/(?:stats|positions|pkg_\w+(?:\/events)?))?$/,
  /^\/api\/v1\/agents\/investigations\/\w+$/,
  /^\/realtime\/notifications$/,
];
const SESSION_ENDS = /^\/auth\/logout(?:\/all)?$/;

// Responses to requests of an earlier session are not stored.
let sessionNumber = 0;

self.addEventListener("install", (event) => {
  event.waitUntil(prepare());
});

async function prepare() {
  const cache = await caches.open(FILES);
  await cache.addAll([PAGE, ...PRELOADS]);
  await self.skipWaiting();
}

self.addEventListener("activate", (event) => {
  event.waitUntil(removeOldVersions());
});

async function removeOldVersions() {
  // The page is requested while the worker starts.
  await self.registration.navigationPreload?.enable();
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith("console-files-") && name !== FILES).map((name) => caches.delete(name)));
  await self.clients.claim();
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return;
  if (SESSION_ENDS.test(url.pathname)) event.waitUntil(deleteData());
  if (request.method !== "GET" || request.headers.has("Range")) return;
  if (request.mode === "navigate" && isScreen(url)) event.respondWith(getPage(event));
  else if (url.pathname.startsWith("/console/assets/")) event.respondWith(getFile(event));
  else if (isStoredData(request, url)) event.respondWith(getData(event));
});

const isScreen = ({ pathname }) => pathname === "/console" || pathname.startsWith(PAGE);

// Pages that a password opened are not stored.
const isStoredData = (request, { pathname }) =>
  !request.headers.has("X-Document-Password") && !request.headers.get("Accept")?.includes("text/event-stream") && STORED_DATA.some((pattern) => pattern.test(pathname));

/** All screens are the same page. */
async function getPage({ request, preloadResponse }) {
  try {
    return (await preloadResponse) ?? (await fetch(request));
  } catch (error) {
    const stored = await caches.match(PAGE);
    if (stored) return stored;
    throw error;
  }
}

/** The URL of a file changes with its content. */
async function getFile(event) {
  const stored = await caches.match(event.request);
  if (stored) return stored;
  const response = await fetch(event.request);
  if (response.ok) event.waitUntil(store(FILES, event.request, response.clone()));
  return response;
}

async function getData(event) {
  const { request } = event;
  const session = sessionNumber;
  try {
    const response = await fetch(request, { signal: anySignal(request.signal) });
    if (response.status === 401 && new URL(request.url).pathname === "/auth/me") await deleteData();
    if (response.status === 200 && session === sessionNumber) event.waitUntil(storeData(request, response.clone()));
    return response;
  } catch (error) {
    if (request.signal.aborted) throw error;
    const stored = await (await caches.open(DATA)).match(request);
    if (stored) return markAsStored(stored);
    throw error;
  }
}

function deleteData() {
  sessionNumber++;
  return caches.delete(DATA);
}

/** The page says that it shows stored data when it sees this header. */
function markAsStored(response) {
  const headers = new Headers(response.headers);
  headers.set("X-Stored-Response", "true");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

/** A connection that hangs counts as none, so that stored data is shown. */
function anySignal(signal) {
  const timeout = AbortSignal.timeout(NETWORK_TIMEOUT_MS);
  return AbortSignal.any ? AbortSignal.any([signal, timeout]) : timeout;
}

async function store(name, request, response) {
  const cache = await caches.open(name);
  await cache.put(request, response);
  return cache;
}

async function storeData(request, response) {
  const cache = await store(DATA, request, response);
  const keys = await cache.keys();
  await Promise.all(keys.slice(0, Math.max(0, keys.length - MAX_DATA_ENTRIES)).map((key) => cache.delete(key)));
}
