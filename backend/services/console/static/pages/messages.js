// The messages of a conversation. This module is loaded with the first message.

import { html, keyedList } from "../lib/dom.js";
import { untracked } from "../lib/reactive.js";
import { answerView } from "./answer.js";
import { addHoverPreview } from "./hover_preview.js";
import { requestView } from "./request.js";

/** Return the list of the messages of *thread*. */
export function messageList(thread) {
  const list = html.ol({ class: "messages", role: "list" });
  addHoverPreview(list);
  return keyedList(
    list,
    () => thread.messages.value,
    (message) => message.key,
    (held) => html.li(untracked(() => (held.peek().role === "user" ? requestView(held.peek(), thread) : answerView(held.peek(), thread)))),
  );
}
