// Entry: loads the language and the user, then shows the sign-in page or the shell with a screen.

import { append, html, renderOnChange } from "./lib/dom.js";
import { addBundledTexts, locale, t } from "./lib/i18n.js";
import { computed, createScope, effect } from "./lib/reactive.js";
import { route, startRouter } from "./lib/router.js";
import { registerServiceWorker } from "./lib/service_worker.js";
import english from "./locale/en.js";
import { clearAgentOptions } from "./model/agent.js";
import { clearConversations } from "./model/conversations.js";
import { clearPages } from "./model/evidence.js";
import { loadLocale, loadUser, user } from "./model/session.js";
import { currentScreen } from "./pages/screens.js";
import { shell } from "./pages/shell.js";
import { loadModule, loadStyle } from "./ui/lazy.js";
import { noticeArea } from "./ui/notice.js";
import { errorState } from "./ui/states.js";

// Not while the first screen is loaded: the worker then loads what is needed without a connection.
const WORKER_DELAY_MS = 2000;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 8000;
// Pages that need no session.
const LINK_PAGES = {
  "/setup": () => import("./pages/setup.js"),
  "/invitation": () => import("./pages/invitation.js"),
  "/forgot-password": () => import("./pages/forgot_password.js"),
  "/reset-password": () => import("./pages/reset_password.js"),
  "/confirm-email": () => import("./pages/confirm_email.js"),
};

async function start() {
  startRouter();
  addBundledTexts("en", english);
  await Promise.all([loadLocale(), loadUserWithRetry()]);
  document.body.replaceChildren(noticeArea);
  const view = computed(() => (Object.hasOwn(LINK_PAGES, route.value.path) ? route.value.path : user.value ? `user ${user.value.id}` : "sign-in"));
  let previous = null;
  effect(() => {
    if (view.value !== previous && previous !== null) {
      clearConversations();
      clearAgentOptions();
      clearPages();
    }
    previous = view.value;
  });
  append(document.body, renderOnChange(() => `${view.value} ${locale.value}`, () => renderView(view.peek())));
}

function renderView(view) {
  const load = view === "sign-in" ? () => import("./pages/sign_in.js") : LINK_PAGES[view];
  if (!load) return shell(currentScreen());
  const element = html.div();
  const scope = createScope();
  Promise.all([loadModule(load), loadStyle("sign_in")]).then(
    ([{ page }]) => !scope.isDisposed && scope.run(() => append(element, page())),
    (error) => append(element, errorState(error, () => window.location.reload())),
  );
  return element;
}

/** Load the user; while the server does not respond, show that and try again. */
async function loadUserWithRetry() {
  for (let delay = FIRST_RETRY_MS; ; delay = Math.min(MAX_RETRY_MS, delay * 2)) {
    try {
      return await loadUser();
    } catch (error) {
      await loadLocale();
      await showServerError(error, delay);
    }
  }
}

function showServerError(error, delay) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, delay);
    const retry = () => {
      clearTimeout(timer);
      resolve();
    };
    document.title = t("productName");
    document.body.replaceChildren(html.main({ class: "start-error" }, html.h1({ class: "title" }, t("productName")), errorState(error, retry)));
  });
}

start();
setTimeout(registerServiceWorker, WORKER_DELAY_MS);
