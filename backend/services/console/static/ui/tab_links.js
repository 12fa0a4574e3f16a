// Links between related screens, shown as a row of tabs.

import { html } from "../lib/dom.js";
import { consolePath, route } from "../lib/router.js";

/** @param {string} label @param {[path: string, label: string][]} links */
export function tabLinks(label, links) {
  const isCurrent = (path) => route.value.path === path;
  const nav = html.nav(
    { class: "tab-links", "aria-label": label },
    links.map(([path, text]) => html.a({ href: consolePath(path), "aria-current": () => (isCurrent(path) ? "page" : null) }, text)),
  );
  // On narrow screens the row scrolls.
  queueMicrotask(() => nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" }));
  return nav;
}
