// Tool calls of an answer: one line that opens a list with arguments and times, and a graph of the run.

import { html } from "../lib/dom.js";
import { formatDuration, hasText, t } from "../lib/i18n.js";
import { signal } from "../lib/reactive.js";
import { icon } from "../ui/icon.js";
import { loadModule } from "../ui/lazy.js";

export function stepList(message, thread) {
  const isOpen = signal(false);
  const isGraph = signal(false);
  return () => {
    const steps = message.steps.value;
    if (!steps.length) return null;
    return html.details(
      { class: "steps", open: isOpen.peek(), ontoggle: (event) => (isOpen.value = event.currentTarget.open) },
      html.summary(icon("spark"), html.span(getSummary(steps)), icon("down")),
      html.div(
        { class: "steps-content" },
        html.div({ class: "segments" }, viewButton(isGraph, false, t("stepsAsList")), viewButton(isGraph, true, t("stepsAsGraph"))),
        () => isOpen.value && (isGraph.value ? graph(message, thread) : html.ol({ role: "list" }, steps.map(stepRow))),
      ),
    );
  };
}

const viewButton = (isGraph, value, label) => html.button({ type: "button", "aria-pressed": () => String(isGraph.value === value), onclick: () => (isGraph.value = value) }, label);

function getSummary(steps) {
  const running = steps.find(({ status }) => status === "running");
  if (running) return t("toolRunning", getToolName(running.tool));
  return steps.length === 1 ? getToolName(steps[0].tool) : t("stepCount", steps.length);
}

/** Return the name of *tool* for the user. */
export function getToolName(tool) {
  const key = `tool_${tool}`;
  return hasText(key) ? t(key) : tool;
}

function stepRow({ tool, arguments: parameters, status, took_ms: duration }) {
  return html.li(
    { class: `step ${status}` },
    html.div({ class: "step-line" }, icon(status === "ok" ? "check" : status === "running" ? "clock" : "warning"), html.strong(getToolName(tool)), html.span({ class: "faint" }, [t(`step_${status}`), duration ? formatDuration(duration) : null].filter(Boolean).join(" · "))),
    toolArguments(parameters),
  );
}

/** Return the arguments of a tool call as a list of names and values. */
export function toolArguments(parameters) {
  const entries = Object.entries(parameters ?? {});
  if (!entries.length) return null;
  return html.dl({ class: "tool-arguments" }, entries.map(([name, value]) => html.div(html.dt(name), html.dd({ dir: "auto" }, typeof value === "string" ? value : JSON.stringify(value)))));
}

function graph(message, thread) {
  const holder = html.div();
  loadModule(() => import("./run_graph.js")).then(({ showRunGraph }) => showRunGraph(holder, message, thread.id.peek()));
  return holder;
}
