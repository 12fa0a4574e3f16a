// Requests to the suite's HTTP API. The session is in cookies that scripts cannot read.
//
//   await get("/rag/documents", { limit: 50, q })      parsed JSON
//   await post(path, body), put, patch, remove(path)   JSON body, parsed JSON or null
//   for await (const item of getAllItems(path, parameters))
//   await uploadForm(path, formData, { signal, onProgress })
//   await request(path, { method, body, headers, signal })   Response
//
// Failures: ApiError (problem document: status, code, title, message, errors, request_id,
// retry_after) and NetworkError (no response). On 401 the session is refreshed once per browser and
// the request repeated once; after that `onSessionEnd` is called.

import { signal } from "./reactive.js";

/** True after a response that was stored earlier, because there is no connection. */
export const isShowingStored = signal(false);

/** A problem document (RFC 9457). Decide by `code`, show `message`. */
export class ApiError extends Error {
  constructor(problem, status) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.code = problem.code ?? "unknown";
    this.title = problem.title ?? "";
    this.errors = problem.errors ?? [];
    this.request_id = problem.request_id ?? null;
    this.retry_after = problem.retry_after ?? null;
    this.problem = problem;
  }
}

/** The server did not respond, or the connection ended early. */
export class NetworkError extends Error {
  name = "NetworkError";
  code = "unreachable";
}

// A form of another site cannot send this header.
const CONSOLE_HEADER = { "X-Requested-With": "console" };
const SIGN_IN_PATHS = new Set(["/auth/login", "/auth/register", "/auth/setup", "/auth/refresh", "/auth/logout"]);

// Set by the service worker on responses that it stored earlier.
const STORED_HEADER = "X-Stored-Response";

let endSession = () => {};
let refresh = null;

/** Call *callback* when the session has ended and cannot be refreshed. */
export function onSessionEnd(callback) {
  endSession = callback;
}

/** Renew the session cookie, once for all tabs at a time. @returns {Promise<boolean>} */
export function refreshSession() {
  refresh ??= withLock(async () => {
    const response = await fetch("/auth/refresh", { method: "POST", headers: CONSOLE_HEADER });
    return response.ok;
  })
    .catch(() => false)
    .finally(() => {
      refresh = null;
    });
  return refresh;
}

/**
 * Renew the session cookie for another tenant of the user; the cookie is that of all tabs. Raises
 * ApiError or NetworkError.
 */
export const selectTenant = (id) => withLock(() => request("/auth/refresh", { method: "POST", headers: { "X-Tenant-ID": id } }));

const withLock = (run) => (navigator.locks ? navigator.locks.request("session", run) : run());

/**
 * Send a request, or continue with *started*, the promise of a response to it. Raises ApiError,
 * NetworkError, or AbortError if *signal* was aborted.
 */
export async function request(path, { method = "GET", body, headers, signal, started } = {}) {
  const options = { method, signal, headers: { ...CONSOLE_HEADER, ...headers } };
  if (body instanceof FormData) options.body = body;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response = await fetchOnce(path, options, started);
  if (response.status === 401 && !SIGN_IN_PATHS.has(path)) {
    if (await refreshSession()) response = await fetchOnce(path, options);
    if (response.status === 401) endSession();
  }
  if (!response.ok) throw await readProblem(response);
  return response;
}

async function fetchOnce(path, options, started = null) {
  try {
    const response = await (started ?? fetch(path, options));
    isShowingStored.value = response.headers.has(STORED_HEADER);
    return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new NetworkError("The server cannot be reached.");
  }
}

async function readProblem(response) {
  const problem = await response.json().catch(() => ({ title: response.statusText }));
  return toApiError(problem, response.status, response.headers.get("Retry-After"));
}

function toApiError(problem, status, retryAfter) {
  const document = problem !== null && typeof problem === "object" ? problem : {};
  return new ApiError({ ...document, retry_after: Number(retryAfter) || null }, status);
}

async function requestJson(path, options) {
  const text = await (await request(path, options)).text();
  return text ? JSON.parse(text) : null;
}

/** Return *path* with query parameters. Null, undefined and "" are left out. */
export function withQuery(path, parameters = {}) {
  const entries = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return entries.length ? `${path}?${new URLSearchParams(entries)}` : path;
}

export const get = (path, parameters, options) => requestJson(withQuery(path, parameters), options);
export const post = (path, body, options) => requestJson(path, { method: "POST", body, ...options });
export const put = (path, body, options) => requestJson(path, { method: "PUT", body, ...options });
export const patch = (path, body, options) => requestJson(path, { method: "PATCH", body, ...options });
export const remove = (path, options) => requestJson(path, { method: "DELETE", ...options });

/** Yield all items of a paged list. */
export async function* getAllItems(path, parameters = {}, options) {
  let cursor = null;
  do {
    const page = await get(path, { limit: 200, ...parameters, cursor }, options);
    yield* page.items;
    cursor = page.next_cursor;
  } while (cursor);
}

/**
 * Send a form or a Blob and report the bytes sent. fetch() cannot report progress. Resolves to the
 * status and the parsed body.
 *
 * @param {{signal?: AbortSignal, onProgress?: (sent: number, total: number) => void}} options
 */
export async function uploadForm(path, form, options = {}) {
  let response = await sendForm(path, form, options);
  if (response.status === 401) {
    if (await refreshSession()) response = await sendForm(path, form, options);
    if (response.status === 401) endSession();
  }
  if (response.status < 200 || response.status >= 300) {
    throw toApiError(response.body, response.status, response.retryAfter);
  }
  return { status: response.status, body: response.body };
}

function sendForm(path, form, { signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    const abort = () => xhr.abort();
    xhr.open("POST", path);
    for (const [name, value] of Object.entries(CONSOLE_HEADER)) xhr.setRequestHeader(name, value);
    xhr.responseType = "json";
    xhr.upload.addEventListener("progress", (event) => onProgress?.(event.loaded, event.total));
    xhr.addEventListener("load", () => resolve({ status: xhr.status, body: xhr.response, retryAfter: xhr.getResponseHeader("Retry-After") }));
    xhr.addEventListener("error", () => reject(new NetworkError("The server cannot be reached.")));
    xhr.addEventListener("abort", () => reject(new DOMException("The upload was cancelled.", "AbortError")));
    xhr.addEventListener("loadend", () => signal?.removeEventListener("abort", abort));
    if (signal?.aborted) return abort();
    signal?.addEventListener("abort", abort);
    xhr.send(form);
  });
}
