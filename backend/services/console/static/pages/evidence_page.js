// A page of a document as an image with the quote marked.

import { html, replaceChildren } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { createScope, effect } from "../lib/reactive.js";
import { chooseImageWidth, fetchPage, getPageImageSource, MIN_MARKED_COVERAGE } from "../model/evidence.js";
import { loadModule } from "../ui/lazy.js";
import { getBounds, pageImage } from "../ui/page_image.js";
import { errorState } from "../ui/states.js";

export const MIN_ZOOM = 0.5;
export const MAX_ZOOM = 3;
export const ZOOM_STEP = 0.25;
const STAGE_PADDING = 32;

/** Show *page* in *stage*. Documents without page images, and quotes without a place, are shown as text. */
export async function documentPage(state, stage, number) {
  const scope = createScope();
  const { citation } = state;
  try {
    const page = await fetchPage(citation, number);
    if (scope.isDisposed) return;
    state.pages.value = page.pages;
    if (citation.quote && number === citation.page) {
      state.coverage.value = page.coverage;
      if (page.coverage < MIN_MARKED_COVERAGE) return void (state.page.value = null);
    }
    scope.run(() => showImage(state, stage, page));
  } catch (error) {
    if (scope.isDisposed) return;
    if (error.code === "page_password_required") return showPasswordForm(state, stage, number);
    if (error.status === 404 && number === citation.page) state.page.value = null;
    else replaceChildren(stage, errorState(error, () => documentPage(state, stage, number)));
  }
}

/** The password of an encrypted PDF is not stored: the user enters it to see the pages. */
async function showPasswordForm(state, stage, number) {
  const scope = createScope();
  const { passwordForm } = await loadModule(() => import("./evidence_password.js"));
  if (scope.isDisposed) return;
  const onPassword = () => scope.run(() => documentPage(state, stage, number));
  scope.run(() => replaceChildren(stage, passwordForm(state, onPassword)));
}

function showImage(state, stage, page) {
  const { citation, zoom } = state;
  const width = Math.max(200, stage.clientWidth - STAGE_PADDING);
  const pixels = width * Math.max(1, zoom.peek()) * window.devicePixelRatio;
  const image = pageImage({
    getSource: () => getPageImageSource(citation.document_id, page.page, chooseImageWidth(pixels)),
    width: page.width,
    height: page.height,
    boxes: page.boxes,
    alt: t("pageImageOf", citation.filename, page.page),
  });
  const holder = html.div({ class: "evidence-sheet" }, image);
  effect(() => holder.style.setProperty("--zoom", String(zoom.value)));
  effect(() => {
    if (zoom.value <= 1) return;
    const larger = getPageImageSource(citation.document_id, page.page, chooseImageWidth(width * zoom.value * window.devicePixelRatio));
    larger.then((source) => (image.querySelector("img").src = source)).catch(() => {}); // the smaller image stays
  });
  replaceChildren(stage, holder);
  scrollToMark(stage, image, page.boxes);
}

function scrollToMark(stage, image, boxes) {
  stage.scrollTop = 0;
  if (!boxes.length) return;
  const [left, top, right, bottom] = getBounds(boxes.slice(0, 8));
  const height = image.clientHeight;
  stage.scrollTop = Math.max(0, ((top + bottom) / 2) * height - stage.clientHeight * 0.4);
  stage.scrollLeft = Math.max(0, ((left + right) / 2) * image.clientWidth - stage.clientWidth / 2);
}
