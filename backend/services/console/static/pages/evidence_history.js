// The evidence view in the browser's history: Back closes it, and Forward opens it again.

import { createId } from "../lib/random.js";
import { closeEvidence, openedEvidence } from "../model/evidence.js";

const MAX_ENTRIES = 50;

/** Evidence by the id in the state of its history entry. */
const entries = new Map();

/** Add a history entry for *evidence*, or replace that of the evidence that was open before. */
export function recordEvidence(evidence) {
  let id = window.history.state?.evidence;
  if (!id) {
    id = createId();
    window.history.pushState({ evidence: id }, "");
  }
  entries.delete(id);
  entries.set(id, evidence);
  if (entries.size > MAX_ENTRIES) entries.delete(entries.keys().next().value);
}

/** Close the view, and leave its history entry. */
export function leaveEvidence() {
  const hasEntry = Boolean(window.history.state?.evidence);
  closeEvidence();
  if (hasEntry) window.history.back();
}

window.addEventListener("popstate", ({ state }) => {
  const evidence = entries.get(state?.evidence);
  if (evidence) openedEvidence.value = evidence;
  else if (openedEvidence.peek()) closeEvidence();
});
