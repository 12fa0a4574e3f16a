// Models, personas and collections that a request can select.

import * as api from "../lib/api.js";
import { signal } from "../lib/reactive.js";

export const models = signal([]);
export const personas = signal([]);
export const collections = signal([]);

/** Selected for the next requests; null: the default. */
export const selectedModel = signal(window.localStorage.getItem("model"));
export const selectedPersona = signal(null);
export const selectedCollection = signal(null);

let isLoaded = false;

/** Load the lists once. A list that is not available stays empty. */
export async function loadAgentOptions() {
  if (isLoaded) return;
  isLoaded = true;
  await Promise.all([
    load("/agent/models", models, () => (isLoaded = false)),
    load("/agent/personas", personas, () => {}),
    load("/rag/collections", collections, () => {}),
  ]);
  if (selectedModel.peek() && models.peek().length && !models.peek().some(({ id }) => id === selectedModel.peek())) selectModel(null);
}

async function load(path, target, onError) {
  try {
    target.value = (await api.get(path)).items;
  } catch {
    onError();
  }
}

/** Forget the lists and selections of the previous user. */
export function clearAgentOptions() {
  isLoaded = false;
  for (const list of [models, personas, collections]) list.value = [];
  selectedPersona.value = null;
  selectedCollection.value = null;
}

export function selectModel(id) {
  selectedModel.value = id;
  if (id) window.localStorage.setItem("model", id);
  else window.localStorage.removeItem("model");
}

/** Return the options to send with a request. */
export function getRequestOptions() {
  const options = { model: selectedModel.peek(), persona: selectedPersona.peek(), collection: selectedCollection.peek() };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value));
}
