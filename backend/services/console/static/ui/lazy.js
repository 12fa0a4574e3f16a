// Loads modules and styles that the first screen does not need.

const loadedStyles = new Map();
const RELOADED = "reloaded_for_new_version";

/** Load styles/{name}.css once. Resolves when it applies, also if it cannot be loaded. */
export function loadStyle(name) {
  if (!loadedStyles.has(name)) loadedStyles.set(name, addStyle(new URL(`../styles/${name}.css`, import.meta.url).href));
  return loadedStyles.get(name);
}

function addStyle(href) {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = href;
  const loaded = new Promise((resolve) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", resolve);
  });
  document.head.append(link);
  return loaded;
}

/**
 * Return `await load()`, where *load* imports a module. After an update of the server, the files of
 * the old version are gone: the page is then loaded again, once.
 */
export async function loadModule(load) {
  try {
    const module = await load();
    window.sessionStorage.removeItem(RELOADED);
    return module;
  } catch (error) {
    if (!navigator.onLine || window.sessionStorage.getItem(RELOADED)) throw error;
    window.sessionStorage.setItem(RELOADED, "true");
    window.location.reload();
    return new Promise(() => {});
  }
}
