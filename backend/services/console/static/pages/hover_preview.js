// Preview of the marked part of a page, while a citation marker is hovered or focused.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { onDispose } from "../lib/reactive.js";
import { chooseImageWidth, fetchPage, getPageImageSource, MIN_MARKED_COVERAGE } from "../model/evidence.js";
import { getBounds, pageImage } from "../ui/page_image.js";
import { positionPopover } from "../ui/popover.js";

const SHOW_DELAY_MS = 160;
const HIDE_DELAY_MS = 120;
const WIDTH = 400;
const MAX_HEIGHT = 170;
const MAX_SCALE = 1.5;
const MARGIN_LINES = 0.03;

/** Show previews for the markers and sources below *root*. */
export function addHoverPreview(root) {
  const card = html.div({ class: "preview", popover: "manual", role: "tooltip", id: "citation-preview" });
  let target = null;
  let timer = 0;
  const hide = () => {
    clearTimeout(timer);
    target?.removeAttribute("aria-describedby");
    target = null;
    if (card.isConnected) card.remove();
  };
  const enter = (next) => {
    clearTimeout(timer);
    if (next === target) return;
    hide();
    target = next;
    timer = setTimeout(() => show(next), SHOW_DELAY_MS);
  };
  const show = async (next) => {
    const citation = next.closest(".answer")?.getCitation(Number(next.dataset.marker));
    if (!citation) return;
    const excerpt = await createExcerpt(citation);
    if (target !== next || !next.isConnected) return;
    card.replaceChildren(html.header(html.strong({ class: "truncate", dir: "auto" }, citation.filename), citation.page ? html.span({ class: "faint number" }, t("page", citation.page)) : ""), excerpt);
    document.body.append(card);
    card.showPopover();
    positionPopover(card, next, { side: "above", align: next.classList.contains("citation") ? "center" : "start" });
    next.setAttribute("aria-describedby", card.id);
  };
  const find = (event) => (event.target instanceof Element ? event.target.closest(".citation, .source") : null);

  if (window.matchMedia("(hover: hover)").matches) {
    root.addEventListener("pointerover", (event) => {
      const found = find(event);
      if (found) enter(found);
    });
    root.addEventListener("pointerout", (event) => {
      if (!target || target.contains(event.relatedTarget) || card.contains(event.relatedTarget)) return;
      clearTimeout(timer);
      timer = setTimeout(hide, HIDE_DELAY_MS);
    });
    // The preview itself can be hovered (WCAG 1.4.13).
    card.addEventListener("pointerenter", () => clearTimeout(timer));
    card.addEventListener("pointerleave", hide);
  }
  root.addEventListener("focusin", (event) => {
    const found = find(event);
    if (found?.matches(":focus-visible")) enter(found);
  });
  root.addEventListener("focusout", hide);
  root.addEventListener("click", hide);
  root.addEventListener("scroll", hide, { passive: true });
  const hideWithEscape = (event) => {
    if (event.key === "Escape" && card.isConnected) hide();
  };
  document.addEventListener("keydown", hideWithEscape);
  onDispose(() => {
    hide();
    document.removeEventListener("keydown", hideWithEscape);
  });
}

/** Return the marked part of the page, or the quote if the document has no page images. */
async function createExcerpt(citation) {
  const quote = () => html.blockquote({ dir: "auto" }, html.mark(citation.quote));
  if (!citation.page) return quote();
  try {
    const page = await fetchPage(citation, citation.page);
    return page.boxes.length && page.coverage >= MIN_MARKED_COVERAGE ? cropPage(citation, page) : quote();
  } catch {
    return quote();
  }
}

function cropPage(citation, page) {
  const [left, top, right, bottom] = getBounds(page.boxes);
  const ratio = page.height / page.width;
  const scale = Math.max(1, Math.min(MAX_SCALE, 0.94 / (right - left)));
  const width = WIDTH * scale;
  const height = width * ratio;
  const image = pageImage({
    getSource: () => getPageImageSource(citation.document_id, page.page, chooseImageWidth(width * window.devicePixelRatio)),
    width: page.width,
    height: page.height,
    boxes: page.boxes,
    alt: t("pageImageOf", citation.filename, page.page),
  });
  const visible = Math.min(MAX_HEIGHT, Math.max(90, (bottom - top + 2 * MARGIN_LINES) * height));
  const shiftX = Math.min(width - WIDTH, Math.max(0, ((left + right) / 2) * width - WIDTH / 2));
  const shiftY = Math.min(height - visible, Math.max(0, (top - MARGIN_LINES) * height));
  image.style.width = `${width}px`;
  image.style.translate = `${-shiftX}px ${-shiftY}px`;
  return html.div({ class: "preview-crop", style: { height: `${visible}px` } }, image);
}
