// Registers the service worker, which shows stored pages while there is no connection.

const URL_OF_WORKER = "/console/service-worker.js";

// The content security policy allows this one policy, once, and it returns this one URL.
const policy = window.trustedTypes?.createPolicy("service-worker", { createScriptURL: () => URL_OF_WORKER });

/** Register the worker. The page works without it, for example over plain HTTP. */
export async function registerServiceWorker() {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register(policy?.createScriptURL("") ?? URL_OF_WORKER, { scope: "/console/" });
  } catch {
    // Private windows of some browsers refuse service workers.
  }
}
