// Code with its language, a copy button and coloured tokens. A block `chart` is shown as a chart.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { tokenizeCode } from "../model/rich_text.js";
import { parseChart, renderChart } from "./chart.js";
import { icon } from "./icon.js";
import { showNotice } from "./notice.js";

// Short names of token types, as Pygments defines them.
const TOKEN_TYPE = /^[a-z][a-z0-9]{0,3}$/;

/** Return the element of a code block. An open block shows its source. */
export function renderCodeBlock({ language, text, isClosed }) {
  if (language === "chart" && isClosed) {
    const chart = parseChart(text);
    if (chart) return renderChart(chart);
  }
  const code = html.code({ translate: "no" }, text);
  const copy = html.button({ type: "button", class: "tool small", "aria-label": t("copyCode"), title: t("copyCode") }, icon("copy"));
  copy.addEventListener("click", () => copyText(code.textContent));
  const block = html.figure(
    { class: "code-block", dir: "ltr" },
    html.figcaption({}, html.span({ class: "truncate" }, language || t("code")), copy),
    html.pre({ tabindex: "0" }, code),
  );
  if (isClosed && language) colourTokens(code, language, text);
  return block;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    showNotice(t("copied"));
  } catch {
    showNotice(t("copyFailed"));
  }
}

async function colourTokens(code, language, text) {
  const tokens = await tokenizeCode(language, text);
  if (tokens) code.replaceChildren(...tokens.map(renderToken));
}

function renderToken([type, text]) {
  return TOKEN_TYPE.test(type) ? html.span({ class: `token-${type}` }, text) : document.createTextNode(text);
}
