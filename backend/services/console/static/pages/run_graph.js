// The run of an answer as a graph: request, model and tool calls, answer. A node opens its state.

import { html } from "../lib/dom.js";
import { formatDuration, hasText, loadTexts, t } from "../lib/i18n.js";
import { createId } from "../lib/random.js";
import { signal } from "../lib/reactive.js";
import { loadRun } from "../model/runs.js";
import { loadStyle } from "../ui/lazy.js";
import { getErrorText } from "../ui/notice.js";
import { valueTree } from "../ui/value_tree.js";
import { getToolName } from "./step_list.js";

await Promise.all([loadTexts("run"), loadStyle("run_graph")]);

/**
 * Show the run of *message* in *holder*: its steps, and then its recorded nodes, which open their
 * state. Nothing is recorded while the answer is written.
 */
export async function showRunGraph(holder, message, sessionId) {
  holder.replaceChildren(nodeList(getSteps(message)));
  if (!sessionId || !message.runId || message.status.peek() === "writing") return;
  try {
    const run = await loadRun(sessionId, message.runId);
    holder.replaceChildren(nodeList(run.nodes));
  } catch (error) {
    const text = error.code === "run_not_found" ? t("runNotRecorded") : getErrorText(error);
    holder.append(html.p({ class: "faint", role: "status" }, text));
  }
}

/** Return nodes without a state, from the steps of the message. */
function getSteps(message) {
  const steps = message.steps.peek().map(({ tool, status, took_ms }) => ({ kind: "tool", name: tool, status, took_ms }));
  return [{ kind: "request", status: "ok" }, ...steps, { kind: "answer", status: "ok" }];
}

const nodeList = (nodes) => html.ol({ class: "graph-nodes", role: "list", "aria-label": t("runNodes") }, nodes.map((node) => html.li(node.inputs === undefined ? plainNode(node) : openableNode(node))));

const plainNode = (node) => html.div({ class: getNodeClass(node) }, nodeContent(node));

function openableNode(node) {
  const isOpen = signal(false);
  const id = `node-${createId()}`;
  return [
    html.button({ type: "button", class: getNodeClass(node), "aria-expanded": () => String(isOpen.value), "aria-controls": id, onclick: () => (isOpen.value = !isOpen.value) }, nodeContent(node)),
    html.div({ id, class: "node-state", hidden: () => !isOpen.value }, () => isOpen.value && nodeState(node)),
  ];
}

const isEnd = ({ kind }) => kind === "request" || kind === "answer";

const getNodeClass = (node) => `graph-node ${isEnd(node) ? "end" : ["ok", "running"].includes(node.status) ? node.status : "error"}`;

function nodeContent(node) {
  const duration = node.took_ms ? formatDuration(node.took_ms) : null;
  const details = isEnd(node) ? [duration] : [getStatusText(node.status), duration];
  return [html.strong({ dir: "auto" }, getLabel(node)), html.span({ class: "faint" }, details.filter(Boolean).join(" · "))];
}

function getLabel({ kind, name }) {
  if (kind === "request") return t("request");
  if (kind === "answer") return t("assistant");
  return kind === "tool" ? getToolName(name) : t("nodeModel", name);
}

// The status of a failed model call is the code of its error.
function getStatusText(status) {
  const key = `step_${status}`;
  return hasText(key) ? t(key) : status;
}

function nodeState({ inputs, outputs, is_truncated: isTruncated }) {
  const isOmitted = inputs === null && outputs === null;
  return [
    inputs !== null && statePart(t("nodeInput"), inputs),
    outputs !== null && statePart(t("nodeOutput"), outputs),
    (isTruncated || isOmitted) && html.p({ class: "faint" }, t(isOmitted ? "nodeOmitted" : "nodeTruncated")),
  ];
}

const statePart = (title, value) => html.div({ role: "group", "aria-label": title }, html.h3(title), valueTree(value));
