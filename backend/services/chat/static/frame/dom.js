// Creates elements. Text becomes text nodes only; nothing parses HTML.
//
//   create("button", { class: "send", onclick: send }, "Send")

/** Return an element. `on…` adds a listener, true an empty attribute; null, undefined and false add nothing. */
export function create(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Return an icon of 24 units that shows the SVG path *data*. */
export function createIcon(data) {
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true" })) icon.setAttribute(key, value);
  path.setAttribute("d", data);
  icon.append(path);
  return icon;
}
