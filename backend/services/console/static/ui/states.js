// What a screen shows while its content is loading, empty or failed.
//
//   skeleton(5)                                     grey lines, visible after 200 ms
//   emptyState(text, action)                        what belongs here, and the action that adds it
//   errorState(error, retry)                        message, request id, "Try again"
//   asyncContent(load, render, { lines })           element for load() in all of these states

import { html, replaceChildren } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { createScope } from "../lib/reactive.js";
import { icon } from "./icon.js";
import { getErrorText, getRequestId } from "./notice.js";

/** Return *lines* grey lines. */
export function skeleton(lines = 4) {
  return html.div({ class: "skeletons", "aria-hidden": "true" }, Array.from({ length: lines }, () => html.div({ class: "skeleton" })));
}

/** Return a box that says what belongs here. *action* is a button or null. */
export function emptyState(text, action = null) {
  return html.div({ class: "empty" }, html.p(text), action);
}

/** Return a box with an error and a button that calls *retry*. */
export function errorState(error, retry = null) {
  return html.div(
    { class: "failure", role: "alert" },
    html.p(html.strong(error?.status === 403 ? t("errorForbidden") : t("errorTitle"))),
    html.p(getErrorText(error)),
    getRequestId(error),
    retry && html.button({ type: "button", class: "button", onclick: retry }, icon("repeat"), t("tryAgain")),
  );
}

/** Return an element that shows `render(await load())`, with loading and error states. */
export function asyncContent(load, render, { lines = 5, className = "" } = {}) {
  const element = html.div({ class: className || null });
  const scope = createScope();
  const start = async () => {
    replaceChildren(element, skeleton(lines));
    element.setAttribute("aria-busy", "true");
    try {
      const value = await load();
      if (!scope.isDisposed) scope.run(() => replaceChildren(element, render(value)));
    } catch (error) {
      if (!scope.isDisposed && error.name !== "AbortError") replaceChildren(element, errorState(error, start));
    } finally {
      element.removeAttribute("aria-busy");
    }
  };
  start();
  return element;
}
