// Reads server-sent events from fetch responses, and resumes a broken stream by event id.
//
//   for await (const { id, name, data } of readEvents(response)) …
//   for await (const event of resumableEvents({ open, reopen, canResume, isFinal, signal, onRetry })) …
//
// EventSource cannot send POST requests or headers; this reader can.

import { NetworkError } from "./api.js";

const RETRY_DELAYS_MS = [500, 1000, 2000, 4000, 8000, 8000];

/** @typedef {{id: string | null, name: string, data: any}} ServerEvent */

/**
 * Yield the events of an event-stream response. Data is parsed as JSON.
 *
 * @param {Response} response
 * @returns {AsyncGenerator<ServerEvent>}
 */
export async function* readEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split(/\r?\n\r?\n/);
      text = blocks.pop();
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event) yield event;
      }
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new NetworkError("The connection was interrupted.");
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Parse the lines of one event. Returns null for comments. @returns {ServerEvent | null} */
export function parseEvent(block) {
  const event = { id: null, name: "message", data: null };
  const lines = [];
  for (const line of block.split(/\r?\n/)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "data") lines.push(value);
    else if (field === "event") event.name = value;
    else if (field === "id") event.id = value;
  }
  if (!lines.length) return null;
  event.data = JSON.parse(lines.join("\n"));
  return event;
}

/**
 * Yield events of `open()`. If the connection ends before a final event, continue with
 * `reopen(lastEventId)` after 0.5 to 8 seconds. An ApiError is not retried unless it is a 502, 503
 * or 504.
 *
 * @param {object} stream
 * @param {() => Promise<Response>} stream.open
 * @param {(lastEventId: string) => Promise<Response>} stream.reopen
 * @param {() => boolean} stream.canResume false while the server has not named the stream
 * @param {(event: ServerEvent) => boolean} stream.isFinal
 * @param {AbortSignal} stream.signal
 * @param {(waiting: boolean) => void} stream.onRetry
 */
export async function* resumableEvents({ open, reopen, canResume, isFinal, signal, onRetry }) {
  let lastEventId = "0";
  let connect = open;
  for (let attempt = 0; ; attempt++) {
    try {
      for await (const event of readEvents(await connect())) {
        attempt = 0;
        onRetry(false);
        if (event.id !== null) lastEventId = event.id;
        yield event;
        if (isFinal(event)) return;
      }
      throw new NetworkError("The connection ended before the answer.");
    } catch (error) {
      if (signal.aborted || !isRetryable(error) || attempt >= RETRY_DELAYS_MS.length) throw error;
      if (!canResume()) throw error;
      connect = () => reopen(lastEventId);
      onRetry(true);
      await waitBeforeRetry(RETRY_DELAYS_MS[attempt], signal);
    }
  }
}

const isRetryable = (error) => error instanceof NetworkError || [502, 503, 504].includes(error.status);

/** Wait *delay* ms, or less if the browser comes online again. */
function waitBeforeRetry(delay, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      window.removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, delay);
    window.addEventListener("online", end);
    signal.addEventListener("abort", end);
  });
}
