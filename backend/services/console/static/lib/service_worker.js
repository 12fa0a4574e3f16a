// Registers the service worker, which shows stored pages while there is no connection.

const URL_OF_WORKER = "/console/service-worker.js";

/** Register the worker. The page works without it, for example over plain HTTP. */
export async function registerServiceWorker() {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register(toScriptUrl(URL_OF_WORKER), { scope: "/console/" });
  } catch {
    // Private windows of some browsers refuse service workers.
  }
}

/** The content security policy allows this one policy, and the policy returns this one URL. */
function toScriptUrl(url) {
  if (!window.trustedTypes) return url;
  const policy = window.trustedTypes.createPolicy("service-worker", { createScriptURL: () => URL_OF_WORKER });
  return policy.createScriptURL(url);
}
