// Models with their capabilities, and the settings of the services (read-only).

import { get } from "../lib/api.js";
import { html, replaceChildren } from "../lib/dom.js";
import { formatNumber, hasText, t } from "../lib/i18n.js";
import { effect, signal } from "../lib/reactive.js";
import { can } from "../model/session.js";
import { icon } from "../ui/icon.js";
import { asyncContent, emptyState } from "../ui/states.js";
import { dataTable } from "../ui/table.js";
import { adminFrame } from "./admin_frame.js";

export function page() {
  return adminFrame(
    "models",
    null,
    can("agent:query") && html.div({ class: "page-body" }, asyncContent(() => get("/agent/models"), modelTable, { className: "page-body" })),
    html.section({ class: "details-section" }, html.h2(t("systemSettings")), html.p({ class: "faint" }, t("settingsText")), asyncContent(() => get("/admin/settings"), settingsView, { className: "page-body" })),
  );
}

function modelTable({ items }) {
  const columns = [
    { label: t("model"), render: ({ id, default: isDefault }) => [html.strong(id), isDefault && html.span({ class: "tag" }, t("defaultModelTag"))] },
    { label: t("provider"), render: ({ provider }) => provider },
    { label: t("capabilities"), render: ({ capabilities }) => html.span({ class: "tags" }, capabilities.map((each) => html.span({ class: "tag" }, each))) },
    { label: t("pricePerMillion"), className: "end number", render: ({ price }) => (price ? t("inputOutputPrice", formatPrice(price.input), formatPrice(price.output)) : "–") },
    { label: t("contextTokens"), className: "end number", render: ({ context_tokens: tokens }) => (tokens === null ? "–" : formatNumber(tokens)) },
  ];
  if (!items.length) return emptyState(t("noModels"));
  return [dataTable({ label: t("models"), columns, items }), html.p({ class: "faint" }, t("modelSettingsText"))];
}

const formatPrice = (price) => formatNumber(price, { minimumFractionDigits: 2, maximumFractionDigits: 4 });

function settingsView({ items }) {
  const text = signal("");
  const table = html.div();
  const columns = [
    { label: t("setting"), render: ({ name }) => html.code(name) },
    { label: t("value"), render: ({ value }) => (value === null || value === "" ? "–" : html.span({ dir: "auto" }, String(value))) },
    { label: t("origin"), render: ({ origin }) => (hasText(`origin_${origin}`) ? t(`origin_${origin}`) : origin) },
  ];
  effect(() => {
    const query = text.value.toLowerCase();
    const found = items.filter(({ name }) => name.toLowerCase().includes(query));
    replaceChildren(table, found.length ? dataTable({ label: t("systemSettings"), columns, items: found }) : emptyState(t("nothingFound")));
  });
  return [
    html.div({ class: "search-field" }, icon("search"), html.input({ class: "input", type: "search", placeholder: t("searchSettings"), "aria-label": t("searchSettings"), oninput: (event) => (text.value = event.currentTarget.value.trim()) })),
    table,
  ];
}
