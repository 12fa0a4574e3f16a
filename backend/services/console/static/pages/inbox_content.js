// The content of a message of a channel: text, media, choices, places, templates and the rest.

import { html } from "../lib/dom.js";
import { formatBytes, hasText, t } from "../lib/i18n.js";
import { icon } from "../ui/icon.js";
import { renderMarkdown } from "../ui/rich_text.js";

const IMAGE_TYPES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

/** Return what a message shows below its author. */
export function messageContent(message) {
  if (message.deleted_at) return html.p({ class: "faint" }, t("messageDeleted"));
  const { content } = message;
  return [message.attachments.map((attachment) => [file(message, attachment), attachment.transcription && transcript(attachment.transcription)]), body(message, content)];
}

function body(message, content) {
  const isTranscribed = message.attachments.some((attachment) => attachment.transcription);
  const text = content.text || (isTranscribed ? "" : content.transcript);
  switch (content.type) {
    case "choice":
      if (content.choice) return plain(content.choice.title ?? content.choice.id);
      return [plain(text), options(content.options)];
    case "carousel":
      return [plain(text), (content.cards ?? []).map((card) => html.div({ class: "inbox-card" }, html.strong({ dir: "auto" }, card.title), plain(card.text), options(card.options)))];
    case "form":
      return [html.strong({ dir: "auto" }, content.title), plain(text), facts(content.values ?? Object.fromEntries((content.fields ?? []).map(({ title }) => [title, ""])))];
    case "location":
      return [html.p(icon("map"), " ", [content.name, content.address, `${content.latitude}, ${content.longitude}`].filter(Boolean).join(" · ")), plain(text)];
    case "contacts":
      return html.ul((content.contacts ?? []).map((contact) => html.li({ dir: "auto" }, [contact.name, contact.company, ...(contact.phones ?? []), ...(contact.emails ?? [])].filter(Boolean).join(" · "))));
    case "template":
      return [html.p({ class: "faint" }, t("templateNamed", content.name)), plain(text), facts(content.parameters ?? {})];
    case "link":
      return [plain(text), link(content.url, content.title)];
    case "command":
      return plain([content.command, content.text].filter(Boolean).join(" "));
    case "order":
      return [html.ul((content.items ?? []).map((item) => html.li(`${item.quantity ?? 1} × ${item.id ?? ""}`))), plain(text)];
    case "unsupported":
      return [html.p({ class: "faint" }, t("unsupportedContent", content.what ?? content.error ?? "")), plain(text)];
    default:
      // Contacts write plain text; the agent and colleagues write CommonMark.
      return text && (message.direction === "outbound" ? html.div({ class: "prose", dir: "auto" }, renderMarkdown(text)) : plain(text));
  }
}

const plain = (text) => text && html.p({ class: "inbox-text", dir: "auto" }, text);

const options = (items) => items?.length > 0 && html.ul({ class: "tags" }, items.map(({ title, id }) => html.li({ class: "tag", dir: "auto" }, title ?? id)));

const facts = (values) => Object.keys(values).length > 0 && html.dl({ class: "facts" }, Object.entries(values).map(([name, value]) => html.div(html.dt({ dir: "auto" }, name), html.dd({ dir: "auto" }, typeof value === "object" ? JSON.stringify(value) : String(value)))));

function link(url, title) {
  const isWeb = /^https?:\/\//i.test(url ?? "");
  return html.p(isWeb ? html.a({ href: url, target: "_blank", rel: "noopener noreferrer nofollow", dir: "auto" }, title || url) : url);
}

/** A file that is shown, played or downloaded; or why it is not there. */
function file({ conversation_id: conversationId }, attachment) {
  const { id, name, mime, size_bytes: size, state } = attachment;
  const label = name || t("file");
  if (state !== "stored") return html.p({ class: "inbox-file faint" }, icon("clip"), `${label}: ${hasText(`file_${state}`) ? t(`file_${state}`) : state}`);
  const url = `/chat/conversations/${encodeURIComponent(conversationId)}/attachments/${encodeURIComponent(id)}`;
  if (IMAGE_TYPES.has(mime)) return html.a({ class: "inbox-image", href: url, target: "_blank", rel: "noopener" }, html.img({ src: url, alt: label, loading: "lazy" }));
  if (mime.startsWith("audio/")) return html.audio({ src: url, controls: true, preload: "none", "aria-label": label });
  if (mime.startsWith("video/")) return html.video({ src: url, controls: true, preload: "none", "aria-label": label });
  return html.p({ class: "inbox-file" }, icon("clip"), html.a({ href: url, download: label, dir: "auto" }, label), size !== null && html.span({ class: "faint" }, formatBytes(size)));
}

/** The text of a recording, or the state of its transcription and the reason of a failure. */
function transcript({ state, text, language, error }) {
  if (state === "done") return html.p({ class: "inbox-transcript", dir: "auto", lang: language || null }, text);
  const reason = state === "failed" && error !== null && (hasText(`transcription_${error.code}`) ? t(`transcription_${error.code}`) : error.detail);
  return html.p({ class: "inbox-transcript faint" }, t(`transcription_${state}`), reason && ` ${reason}`);
}
