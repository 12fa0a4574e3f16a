// Links between related screens, shown as a row of tabs.

import { html } from "../lib/dom.js";
import { consolePath, route } from "../lib/router.js";

/** @param {string} label @param {[path: string, label: string][]} links */
export function tabLinks(label, links) {
  const isCurrent = (path) => route.value.path === path;
  const nav = html.nav(
    // Chromium does not scroll to a focused link of which half a pixel is visible.
    { class: "tab-links", "aria-label": label, onfocusin: ({ target }) => target.scrollIntoView({ block: "nearest", inline: "nearest" }) },
    links.map(([path, text]) => html.a({ href: consolePath(path), "aria-current": () => (isCurrent(path) ? "page" : null) }, text)),
  );
  // On narrow screens the row scrolls.
  queueMicrotask(() => nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" }));
  return nav;
}
