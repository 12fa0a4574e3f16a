// Which requests are repeated, and how long to wait before.

const RETRY_MS = [500, 1000, 2000, 4000, 8000, 15_000];

/** Whether repeating the request cannot help, as it would when the server restarts. */
export const isFinal = ({ status }) => status > 0 && status < 500 && status !== 429;

/** Wait before the next attempt, longer after each one. *attempt* counts from 0. */
export const pause = (attempt, signal) => wait(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)], signal);

/** Wait *delay* ms, or less if *signal* (optional) is aborted or the browser comes online again. */
export function wait(delay, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      window.removeEventListener("online", end);
      resolve();
    };
    const timer = setTimeout(end, delay);
    signal?.addEventListener("abort", end);
    window.addEventListener("online", end);
  });
}
