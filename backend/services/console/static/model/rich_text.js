// Code tokens and MathML from the console service. Requests of one frame are sent together, and
// results are kept for the texts that were shown last.

import { post } from "../lib/api.js";

const MAX_CACHED = 300;
const MAX_BATCH = 32;
const MAX_CODE_LENGTH = 50_000;

/** Combines calls into requests: `send(items)` returns one result per item. */
class BatchedConverter {
  #results = new Map();
  #waiting = [];

  constructor(send) {
    this.send = send;
  }

  find(key) {
    return this.#results.get(key)?.value;
  }

  /** Return the result for *item*, or null if the conversion failed. */
  convert(key, item) {
    const known = this.#results.get(key);
    if (known) return known.promise;
    const entry = { value: null };
    entry.promise = new Promise((resolve) => {
      if (!this.#waiting.length) setTimeout(() => this.#flush(), 0);
      this.#waiting.push({ key, item, entry, resolve });
    });
    this.#results.set(key, entry);
    if (this.#results.size > MAX_CACHED) this.#results.delete(this.#results.keys().next().value);
    return entry.promise;
  }

  #flush() {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let at = 0; at < waiting.length; at += MAX_BATCH) this.#sendBatch(waiting.slice(at, at + MAX_BATCH));
  }

  async #sendBatch(batch) {
    const results = await this.send(batch.map(({ item }) => item)).catch(() => []);
    for (const [index, { key, entry, resolve }] of batch.entries()) {
      entry.value = results[index] ?? null;
      // A failed request may succeed when the text is shown again.
      if (entry.value === null) this.#results.delete(key);
      resolve(entry.value);
    }
  }
}

const code = new BatchedConverter(async (blocks) => {
  const response = await post("/console/code", { blocks });
  return response.blocks.map(({ tokens }) => tokens);
});

const formulas = new BatchedConverter(async (items) => {
  const response = await post("/console/formula", { formulas: items });
  return response.formulas.map(({ tree }) => tree);
});

/** Return `[[type, text], …]` of *text*, or null. @returns {Promise<[string, string][] | null>} */
export async function tokenizeCode(language, text) {
  if (text.length > MAX_CODE_LENGTH) return null;
  return code.convert(`${language}\n${text}`, { language, text });
}

/** Return the MathML tree of *tex*, or null. */
export const convertFormula = (tex, isDisplay) => formulas.convert(`${isDisplay}\n${tex}`, { tex, display: isDisplay });

/** Return the MathML tree of *tex* if it is already known. */
export const findFormula = (tex, isDisplay) => formulas.find(`${isDisplay}\n${tex}`) ?? null;
