// Requests of the visitor, and the event stream. The token is in the storage of the frame if the
// browser allows that, and in memory in a frame in a sandbox.

const BASE = location.pathname.replace(/\/$/, "");
const KEY = `chat-token:${BASE}`;
const TIMEOUT_MS = 20_000;

/** A response with an error status, or none: then `status` is 0. */
export class ApiError extends Error {
  constructor(status, code, retryAfter) {
    super(`${status} ${code}`);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

function readStorage() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function writeStorage(value) {
  try {
    if (value) localStorage.setItem(KEY, value);
    else localStorage.removeItem(KEY);
  } catch {
    // A sandbox has no storage: the conversation ends with the page.
  }
}

export class VisitorApi {
  /** @param {string} ticket proves that the frame page was read */
  constructor(ticket) {
    this.ticket = ticket;
    this.token = readStorage();
    this.isVerified = false;
  }

  /** Whether there is a session, also one that another tab has opened since. */
  get hasToken() {
    this.token ??= readStorage();
    return Boolean(this.token);
  }

  /** Open or renew the session, once for each page. An invalid token is replaced. */
  async openSession() {
    if (this.isVerified) return;
    this.token ??= readStorage();
    try {
      this.setToken((await this.send("POST", "/sessions", { ticket: this.ticket })).token);
    } catch (error) {
      if (!this.token || (error.status !== 401 && error.code !== "other_origin")) throw error;
      this.setToken(null);
      return this.openSession();
    }
    this.isVerified = true;
  }

  setToken(token) {
    // A token that another tab has stored instead stays.
    if (token || readStorage() === this.token) writeStorage(token);
    this.token = token;
    this.isVerified = false;
  }

  /** Send a request of the session. A session that has ended is replaced once. */
  async call(method, path, body) {
    await this.openSession();
    try {
      return await this.send(method, path, body);
    } catch (error) {
      if (error.status !== 401) throw error;
      this.setToken(null);
      await this.openSession();
      return this.send(method, path, body);
    }
  }

  async send(method, path, body) {
    const response = await this.fetch(method, path, { body, signal: AbortSignal.timeout(TIMEOUT_MS) });
    return response.status === 202 ? null : response.json();
  }

  async fetch(method, path, { body, headers = {}, signal }) {
    const options = { method, headers: { ...headers }, credentials: "omit", cache: "no-store", signal };
    if (this.token) options.headers.Authorization = `Bearer ${this.token}`;
    if (body !== undefined) {
      options.headers["Content-Type"] = "application/json";
      options.body = JSON.stringify(body);
    }
    let response;
    try {
      response = await fetch(BASE + path, options);
    } catch {
      throw new ApiError(0, "network");
    }
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    throw new ApiError(response.status, problem.code ?? "", Number(response.headers.get("Retry-After")) || 0);
  }

  /** Yield `{ id, name, data }` of the changes after *lastId*. */
  async *readEvents(lastId, signal) {
    await this.openSession();
    const response = await this.fetch("GET", "/events", { headers: { "Last-Event-ID": String(lastId) }, signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
        if (fields.data) yield { id: fields.id, name: fields.event, data: JSON.parse(fields.data) };
      }
    }
  }
}

/** Return a random id of 32 hexadecimal digits. Insecure pages have no `crypto.randomUUID`. */
export const createId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
