// Shows Markdown while it is being written. Finished blocks keep their elements; the last block is
// rendered once per frame.

import { html } from "../lib/dom.js";
import { BlockStream } from "../lib/markdown/block_stream.js";
import { renderBlock, renderBlocks, renderItem, resolveMarkers } from "./markdown_elements.js";

// Hidden tabs get no animation frames.
const HIDDEN_INTERVAL_MS = 250;
// A block that is expensive to render is rendered less often, so that rendering takes at most about
// a tenth of the time.
const CHEAP_MS = 3;
const PAUSE_FACTOR = 10;
const MAX_PAUSE_MS = 2000;

export class MarkdownStream {
  #blocks = new BlockStream();
  #citations;
  #cancelFrame = null;
  #cost = 0;
  #open = [];

  /**
   * @param {{citations?: object[] | null}} options null: the citations follow with `setCitations`
   */
  constructor({ citations = null } = {}) {
    this.#citations = citations;
    /** The element that shows the text. */
    this.element = html.div({ class: "prose" });
  }

  /** Add *text* to the end. It is shown with the next frame. */
  append(text) {
    this.#blocks.append(text);
    this.#cancelFrame ??= requestRender(() => this.#render(), this.#cost);
  }

  /** Turn the markers of *citations* into buttons, and other markers into text. */
  setCitations(citations) {
    this.#citations = citations;
    resolveMarkers(this.element, citations);
  }

  /** Show the complete text. Returns the element. */
  finish() {
    this.#cancelFrame?.();
    this.#cancelFrame = null;
    const options = { citations: this.#citations ?? [], isOpen: false };
    this.#removeOpen();
    this.element.append(...renderBlocks(this.#blocks.finish(), options));
    if (this.#citations === null) this.setCitations([]);
    return this.element;
  }

  #render() {
    const start = performance.now();
    this.#cancelFrame = null;
    this.#renderNow();
    this.#cost = performance.now() - start;
  }

  #renderNow() {
    const { finished, open } = this.#blocks.read();
    if (finished.length) {
      this.#removeOpen();
      this.element.append(...renderBlocks(finished, { citations: this.#citations, isOpen: false }));
    }
    this.#renderOpen(open);
  }

  #removeOpen() {
    for (const { element } of this.#open) element.remove();
    this.#open = [];
  }

  #renderOpen(blocks) {
    const options = { citations: this.#citations, isOpen: true };
    const previous = this.#open;
    this.#open = blocks.map((block, index) => updateBlock(previous[index], block, options));
    for (const { element } of previous) if (!this.#open.some((each) => each.element === element)) element.remove();
    for (const { element } of this.#open) if (!element.isConnected || element.parentNode !== this.element) this.element.append(element);
  }
}

/**
 * Call *render* with the next frame, or later if it cost more than CHEAP_MS the last time.
 * Returns a function that cancels the call.
 */
function requestRender(render, cost) {
  let frame = 0;
  const renderInFrame = () => {
    frame = requestAnimationFrame(render);
  };
  const pause = cost > CHEAP_MS ? Math.min(MAX_PAUSE_MS, cost * PAUSE_FACTOR) : 0;
  const run = document.hidden ? render : renderInFrame;
  const delay = document.hidden ? Math.max(pause, HIDDEN_INTERVAL_MS) : pause;
  const timer = delay > 0 ? setTimeout(run, delay) : null;
  if (timer === null) run();
  return () => {
    clearTimeout(timer);
    cancelAnimationFrame(frame);
  };
}

/** Return `{block, element}`. Long blocks reuse the element and what has not changed in it. */
function updateBlock(previous, block, options) {
  const before = previous?.block;
  if (before?.type === block.type) {
    if (block.type === "code" && canExtendCode(before, block)) return extendCode(previous, block);
    if (block.type === "list" && canExtendList(before, block)) return extendList(previous, block, options);
  }
  return { block, element: renderBlock(block, options) };
}

const canExtendCode = (before, block) =>
  !before.isClosed && !block.isClosed && before.language === block.language && block.text.startsWith(before.text);

function extendCode({ block: before, element }, block) {
  const code = element.querySelector("code");
  if (code.firstChild) code.firstChild.appendData(block.text.slice(before.text.length));
  else code.append(block.text);
  return { block, element };
}

const canExtendList = (before, block) =>
  before.number === block.number && before.isLoose === block.isLoose && before.items.length <= block.items.length;

function extendList({ block: before, element }, block, options) {
  const last = before.items.length - 1;
  for (const [index, item] of block.items.entries()) {
    if (index < last || (index === last && item.source === before.items[index].source)) continue;
    const rendered = renderItem(item, block.isLoose, options);
    if (index <= last) element.children[index].replaceWith(rendered);
    else element.append(rendered);
  }
  return { block, element };
}
