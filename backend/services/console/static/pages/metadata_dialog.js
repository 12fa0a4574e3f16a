// Dialog that edits the metadata of a document as names and values.

import { html } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { updateDocument } from "../model/library.js";
import { openDialog } from "../ui/dialog.js";
import { icon, iconButton } from "../ui/icon.js";
import { getErrorText } from "../ui/notice.js";

/** Edit the metadata of *document*. Resolves to the changed document, or null. */
export async function editMetadata(document) {
  const rows = html.div({ class: "metadata-rows" });
  const error = html.p({ class: "field-error", role: "alert" });
  for (const [name, value] of Object.entries(document.metadata)) rows.append(metadataRow(name, value));
  rows.append(metadataRow());
  const { closed } = openDialog({
    title: t("metadataOf", document.title),
    className: "wide",
    content: (close) => {
      const save = async (event) => {
        event.preventDefault();
        try {
          close(await updateDocument(document.id, { metadata: readRows(rows) }));
        } catch (failure) {
          error.textContent = getErrorText(failure);
        }
      };
      return html.form(
        { class: "dialog-form", onsubmit: save },
        html.p({ class: "faint" }, t("metadataHint")),
        rows,
        html.button({ type: "button", class: "button plain add-row", onclick: () => addRow(rows) }, icon("plus"), t("addField")),
        error,
        html.div({ class: "actions" }, html.button({ type: "button", class: "button", onclick: () => close(null) }, t("cancel")), html.button({ class: "button primary" }, t("save"))),
      );
    },
  });
  return closed;
}

function addRow(rows) {
  const row = metadataRow();
  rows.append(row);
  row.querySelector("input").focus();
}

function metadataRow(name = "", value = "") {
  const text = typeof value === "string" && !isJsonScalar(value) ? value : JSON.stringify(value);
  const row = html.div(
    { class: "metadata-row" },
    html.input({ class: "input", value: name, maxlength: 64, dir: "auto", placeholder: t("fieldName"), "aria-label": t("fieldName") }),
    html.input({ class: "input", value: value === "" ? "" : text, maxlength: 4000, dir: "auto", placeholder: t("fieldValue"), "aria-label": t("fieldValue") }),
    iconButton("close", t("removeField"), { onclick: () => row.remove() }),
  );
  return row;
}

/** Return true for text that `parseValue` would not read as the text itself. */
const isJsonScalar = (text) => parseValue(text) !== text;

/** Numbers, true, false, null, lists and objects of JSON keep their type; the rest is text. */
function parseValue(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function readRows(rows) {
  const metadata = {};
  for (const row of rows.children) {
    const [name, value] = [...row.querySelectorAll("input")].map((input) => input.value.trim());
    if (name) metadata[name] = parseValue(value);
  }
  return metadata;
}
