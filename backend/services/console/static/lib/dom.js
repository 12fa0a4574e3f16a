// Creates DOM elements with function calls. Text becomes text nodes only; nothing parses HTML.
//
//   html.div({ class: "card", onclick: open }, html.h2(title), () => `${count.value} items`)
//   svg.path({ d: "M0 0h4" })
//
// The first argument may be an object of attributes. `on…` adds an event listener, `ref` is called
// with the element, `style` and `dataset` take objects. A signal or a function as attribute or child
// is evaluated again when a signal that it reads changes.
//
//   append(parent, children)                     add children, with the same rules
//   keyedList(parent, items, key, render)        one element per item; unchanged items are kept
//   renderOnChange(read, render)                 child that is rendered again when read() changes
//   afterPaint(callback)                         call it when the next frame has been painted
//   delegate(root, type, selector, listener)     one listener for all matching descendants

import { Signal, createScope, effect, onDispose, signal, untracked } from "./reactive.js";

const NAMESPACES = {
  svg: "http://www.w3.org/2000/svg",
  math: "http://www.w3.org/1998/Math/MathML",
};
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected", "open", "inert", "indeterminate"]);

const createTags = (namespace) =>
  new Proxy({}, { get: (_, name) => (...parts) => createElement(namespace, name, parts) });

export const html = createTags(null);
export const svg = createTags(NAMESPACES.svg);
export const math = createTags(NAMESPACES.math);

function createElement(namespace, name, parts) {
  const element = namespace ? document.createElementNS(namespace, name) : document.createElement(name);
  const hasAttributes = isAttributes(parts[0]);
  if (hasAttributes) for (const [key, value] of Object.entries(parts[0])) bindAttribute(element, key, value);
  return append(element, hasAttributes ? parts.slice(1) : parts);
}

function isAttributes(value) {
  return value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype;
}

function bindAttribute(element, name, value) {
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "ref") value(element);
  else if (value instanceof Signal) effect(() => setAttribute(element, name, value.value));
  else if (typeof value === "function") effect(() => setAttribute(element, name, value()));
  else setAttribute(element, name, value);
}

function setAttribute(element, name, value) {
  if (name === "style") {
    for (const [property, setting] of Object.entries(value)) element.style.setProperty(property, setting);
  } else if (name === "dataset") {
    Object.assign(element.dataset, value);
  } else if (PROPERTIES.has(name)) {
    element[name] = value ?? "";
  } else if (value === null || value === undefined || value === false) {
    element.removeAttribute(name);
  } else {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

const isEmpty = (child) => child === null || child === undefined || child === false;

/** Append *children*: nodes, texts, arrays, signals or functions. Returns *parent*. */
export function append(parent, children) {
  for (const child of [children].flat(Infinity)) {
    if (isEmpty(child)) continue;
    if (child instanceof Signal) appendLive(parent, () => child.value);
    else if (typeof child === "function") appendLive(parent, child);
    else parent.append(child);
  }
  return parent;
}

/** Replace the children of *parent*. */
export function replaceChildren(parent, children) {
  parent.replaceChildren();
  return append(parent, children);
}

function appendLive(parent, read) {
  const end = document.createComment("");
  parent.append(end);
  let nodes = [];
  effect(() => {
    const next = [read()].flat(Infinity).filter((child) => !isEmpty(child));
    if (nodes.length === 1 && next.length === 1 && nodes[0].nodeType === Node.TEXT_NODE && !(next[0] instanceof Node)) {
      nodes[0].data = next[0];
      return;
    }
    if (next.length === nodes.length && next.every((child, index) => child === nodes[index])) return;
    for (const node of nodes) node.remove();
    nodes = next.map((child) => (child instanceof Node ? child : document.createTextNode(child)));
    end.before(...nodes);
  });
}

/**
 * Keep one child of *parent* per item, in order. An item with a known key keeps its element.
 *
 * @param {Element} parent without other children
 * @param {() => any[]} items read again when a signal that it reads changes
 * @param {(item: any) => any} key
 * @param {(item: Signal<any>) => Element} render is called once per key
 * @returns {Element} parent
 */
export function keyedList(parent, items, key, render) {
  const rows = new Map();
  const owner = createScope();
  effect(() => {
    const list = items();
    untracked(() => {
      const keys = new Set(list.map(key));
      for (const [id, row] of rows) {
        if (keys.has(id)) continue;
        row.node.remove();
        row.scope.dispose();
        rows.delete(id);
      }
      let next = parent.firstChild;
      for (const item of list) {
        const row = rows.get(key(item));
        const node = row ? row.node : createRow(owner, rows, key(item), item, render);
        if (row) row.item.value = item;
        if (node === next) next = next.nextSibling;
        else parent.insertBefore(node, next);
      }
    });
  });
  return parent;
}

function createRow(owner, rows, id, item, render) {
  const row = { item: signal(item), scope: owner.run(createScope), node: null };
  row.node = row.scope.run(() => render(row.item));
  rows.set(id, row);
  return row.node;
}

/** Return a child that is rendered by `render(value)` each time the value of *read* changes. */
export function renderOnChange(read, render) {
  const owner = createScope();
  let scope = null;
  let previous = {};
  let node = null;
  return () => {
    const value = read();
    if (Object.is(value, previous)) return node;
    previous = value;
    scope?.dispose();
    scope = owner.run(createScope);
    node = untracked(() => scope.run(() => render(value)));
    return node;
  };
}

/** Call *callback* when the next frame has been painted, unless the surrounding scope ends before. */
export function afterPaint(callback) {
  let timer = 0;
  const frame = requestAnimationFrame(() => {
    timer = setTimeout(callback);
  });
  onDispose(() => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  });
}

/** Call `listener(event, element)` for events below *root* whose target is in *selector*. */
export function delegate(root, type, selector, listener) {
  root.addEventListener(type, (event) => {
    const element = event.target instanceof Element ? event.target.closest(selector) : null;
    if (element && root.contains(element)) listener(event, element);
  });
}
