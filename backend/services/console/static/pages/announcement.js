// What a screen reader says when an answer has ended. Loaded with the messages.

import { t } from "../lib/i18n.js";
import { parseBlocks } from "../lib/markdown/blocks.js";
import { getPlainText } from "../lib/markdown/plain_text.js";

// A longer answer is announced up to the end of a block; nobody can skip within an announcement.
const MAX_CHARACTERS = 2000;
const ENDINGS = { cancelled: "answerStopped", interrupted: "answerInterrupted" };

/** Return the announcement of *message*, an answer that is not being written any more. */
export function getAnnouncement(message) {
  const status = message.status.peek();
  if (status === "failed") return ""; // the error below the answer is an alert
  const texts = [`${t("assistant")}: ${getSpokenText(message.text)}`];
  if (message.approval.peek()) texts.push(t("approvalTitle"), t("approvalText"));
  else if (ENDINGS[status]) texts.push(t(ENDINGS[status]));
  return texts.join("\n");
}

function getSpokenText(markdown) {
  const blocks = parseBlocks(markdown);
  const texts = [];
  let length = 0;
  for (const block of blocks) {
    const text = getPlainText(block);
    if (texts.length && length + text.length > MAX_CHARACTERS) return [...texts, t("announcementContinues")].join("\n");
    texts.push(text);
    length += text.length;
  }
  return texts.join("\n");
}
