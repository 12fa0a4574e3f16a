// Repeats a request while the page is visible.

import { onDispose, signal } from "../lib/reactive.js";

/**
 * Call *load* now and every *interval* ms while the page is visible, until the scope ends.
 *
 * @returns {{value: Signal<any>, error: Signal<any>, reload: () => void}} `value` is null at first
 */
export function createPolling(load, interval) {
  const value = signal(null);
  const error = signal(null);
  let isLoading = false;
  const reload = async () => {
    if (isLoading) return;
    isLoading = true;
    try {
      value.value = await load();
      error.value = null;
    } catch (failure) {
      error.value = failure;
    } finally {
      isLoading = false;
    }
  };
  const reloadIfVisible = () => {
    if (!document.hidden) reload();
  };
  const timer = setInterval(reloadIfVisible, interval);
  document.addEventListener("visibilitychange", reloadIfVisible);
  onDispose(() => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", reloadIfVisible);
  });
  reload();
  return { value, error, reload };
}
