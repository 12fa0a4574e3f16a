// The citation that the evidence view shows, and pages of documents.
//
//   openEvidence(citation, citations, opener)    citation: { document_id, filename, page, start, end, quote }
//   closeEvidence()
//   await fetchPage(citation, page)              size of the page and boxes of the quote
//   await getPageImageSource(documentId, page, width)    URL for an image
//   setDocumentPassword(documentId, password)    for the pages of an encrypted PDF
//   await fetchText(citation)                    text around the quote, for documents without pages

import * as api from "../lib/api.js";
import { signal } from "../lib/reactive.js";

const IMAGE_WIDTHS = [400, 800, 1200, 1800];
const MAX_CACHED_PAGES = 50;
const CONTEXT_CHARACTERS = 4000;
export const MIN_FOUND_COVERAGE = 0.9;
export const MIN_MARKED_COVERAGE = 0.5;

/** { citation, citations, opener }, or null. */
export const openedEvidence = signal(null);

const pages = new Map();
/** Passwords that the user entered, by document. They are kept in memory only. */
const passwords = new Map();

export const hasDocumentPassword = (documentId) => passwords.has(documentId);

/** Open the pages of an encrypted PDF with *password*; null: the password is wrong. */
export function setDocumentPassword(documentId, password) {
  if (password === null) passwords.delete(documentId);
  else passwords.set(documentId, password);
}

/** Delete what was loaded for the previous user. */
export function clearPages() {
  pages.clear();
  passwords.clear();
}

const getHeaders = (documentId) => (passwords.has(documentId) ? { "X-Document-Password": encodeURIComponent(passwords.get(documentId)) } : {});

export function openEvidence(citation, citations = [citation], opener = document.activeElement) {
  openedEvidence.value = { citation, citations, opener };
}

/** Close the view. The focus returns to the element that opened it. */
export function closeEvidence({ restoresFocus = true } = {}) {
  const { opener } = openedEvidence.peek() ?? {};
  openedEvidence.value = null;
  if (restoresFocus && opener instanceof HTMLElement && opener.isConnected) opener.focus({ preventScroll: true });
}

/** Return the smallest available image width for *pixels* on the screen. */
export const chooseImageWidth = (pixels) => IMAGE_WIDTHS.find((width) => width >= pixels * 0.9) ?? IMAGE_WIDTHS.at(-1);

/** Return the URL of an image of a page: a data URL if it needs a password, which URLs must not contain. */
export async function getPageImageSource(documentId, page, width) {
  const url = `/rag/documents/${encodeURIComponent(documentId)}/pages/${page}.webp?width=${width}`;
  if (!passwords.has(documentId)) return url;
  const response = await api.request(url, { headers: getHeaders(documentId) });
  return toDataUrl(await response.blob());
}

function toDataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(blob);
  });
}

/**
 * Return the size of a page and the boxes of the quote on it.
 *
 * @returns {Promise<{page: number, pages: number, width: number, height: number,
 *   boxes: [number, number, number, number][], exact: boolean, coverage: number}>}
 */
export function fetchPage({ document_id: id, start, end }, page) {
  const hasQuote = end > start;
  const path = api.withQuery(`/rag/documents/${encodeURIComponent(id)}/pages/${page}`, hasQuote ? { start, end } : {});
  if (!pages.has(path)) {
    const request = api.get(path, {}, { headers: getHeaders(id) });
    pages.set(path, request);
    request.catch(() => pages.delete(path));
    if (pages.size > MAX_CACHED_PAGES) pages.delete(pages.keys().next().value);
  }
  return pages.get(path);
}

/** Return the extracted text around the quote, split at the quote. Offsets are code points. */
export async function fetchText({ document_id: id, start, end, quote }, contextCharacters = CONTEXT_CHARACTERS) {
  const from = Math.max(0, start - contextCharacters);
  const response = await api.get(`/rag/documents/${encodeURIComponent(id)}/text`, { start: from, end: end + contextCharacters });
  const offset = response.pages[0]?.start ?? 0;
  const characters = Array.from(response.pages.map(({ text }) => text).join(""));
  const slice = (first, last) => characters.slice(Math.max(0, first - offset), Math.max(0, last - offset)).join("");
  const marked = slice(start, end);
  return {
    before: slice(from, start),
    marked,
    after: slice(end, end + contextCharacters),
    isExact: quote ? marked === quote : true,
    isCutBefore: from > 0,
    isCutAfter: offset + characters.length >= end + contextCharacters,
  };
}
