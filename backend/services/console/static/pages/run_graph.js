// The run of an answer as a graph: request, tool calls, answer. A list for screen readers exists too.

import { svg } from "../lib/dom.js";
import { formatDuration, t } from "../lib/i18n.js";
import { getToolName } from "./step_list.js";

const NODE_WIDTH = 190;
const NODE_HEIGHT = 44;
const GAP = 34;
const MARGIN = 8;
const MAX_LABEL = 24;

/** Return an SVG of the run of *message*. Steps follow each other from top to bottom. */
export function runGraph(message) {
  const nodes = [
    { label: t("request"), detail: "", kind: "end" },
    ...message.steps.peek().map(({ tool, status, took_ms: duration }) => ({ label: getToolName(tool), detail: [t(`step_${status}`), duration ? formatDuration(duration) : null].filter(Boolean).join(" · "), kind: status })),
    { label: t("assistant"), detail: message.info.peek()?.model ?? "", kind: "end" },
  ];
  const height = nodes.length * NODE_HEIGHT + (nodes.length - 1) * GAP + 2 * MARGIN;
  const width = NODE_WIDTH + 2 * MARGIN;
  const description = nodes.map(({ label, detail }) => (detail ? `${label} (${detail})` : label)).join(" → ");
  return svg.svg({ viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": description }, nodes.map((node, index) => drawNode(node, index, index === nodes.length - 1)));
}

function drawNode({ label, detail, kind }, index, isLast) {
  const top = MARGIN + index * (NODE_HEIGHT + GAP);
  const middle = MARGIN + NODE_WIDTH / 2;
  const bottom = top + NODE_HEIGHT;
  return svg.g(
    { class: `graph-node ${kind}` },
    svg.rect({ x: MARGIN, y: top, width: NODE_WIDTH, height: NODE_HEIGHT, rx: 10 }),
    svg.text({ class: "graph-label", x: middle, y: top + (detail ? 19 : 27), "text-anchor": "middle" }, shorten(label)),
    detail && svg.text({ class: "graph-detail", x: middle, y: top + 35, "text-anchor": "middle" }, shorten(detail)),
    !isLast && svg.path({ class: "graph-edge", d: `M${middle} ${bottom}v${GAP - 4} m-4 -5l4 5l4 -5` }),
  );
}

const shorten = (text) => (text.length > MAX_LABEL ? `${text.slice(0, MAX_LABEL - 1)}…` : text);
