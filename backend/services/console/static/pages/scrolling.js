// Keeps a growing conversation at its end, until the reader scrolls up.

import { onDispose, signal } from "../lib/reactive.js";

const END_TOLERANCE = 48;

/** @returns {{isAtEnd: import("../lib/reactive.js").Signal<boolean>, scrollToEnd: () => void}} */
export function followEnd(scroller) {
  const isAtEnd = signal(true);
  let lastTop = 0;
  const measure = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < END_TOLERANCE;
  const scrollToEnd = () => {
    isAtEnd.value = true;
    scroller.scrollTop = scroller.scrollHeight;
  };
  scroller.addEventListener(
    "scroll",
    () => {
      // Content that grows also causes scroll events; only the reader moves up.
      if (scroller.scrollTop < lastTop - 1) isAtEnd.value = measure();
      else if (measure()) isAtEnd.value = true;
      lastTop = scroller.scrollTop;
    },
    { passive: true },
  );
  const observer = new ResizeObserver(() => {
    if (isAtEnd.peek()) scroller.scrollTop = scroller.scrollHeight;
  });
  const mutations = new MutationObserver(() => {
    for (const child of scroller.children) observer.observe(child);
  });
  mutations.observe(scroller, { childList: true });
  observer.observe(scroller);
  onDispose(() => {
    observer.disconnect();
    mutations.disconnect();
  });
  return { isAtEnd, scrollToEnd };
}
