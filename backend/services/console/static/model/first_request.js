// Requests with an idempotency key that were possibly sent before.

// Time in which a first request whose process was stopped can finish or be given up.
const MAX_WAIT_MS = 30_000;

/**
 * Call `post` again while the server still works on an earlier request with the same key.
 * @template T
 * @param {() => Promise<T>} post sends the request
 * @param {() => void} onWait called before each wait
 * @returns {Promise<T>}
 */
export async function waitForFirstRequest(post, onWait) {
  const end = performance.now() + MAX_WAIT_MS;
  for (;;) {
    try {
      return await post();
    } catch (error) {
      const delay = (error.retry_after ?? 1) * 1000;
      if (error.code !== "idempotency_in_progress" || performance.now() + delay > end) throw error;
      onWait();
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  }
}
