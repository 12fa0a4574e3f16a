// The frame page: reads its configuration, shows the conversation, and exchanges messages with the
// script of the site (widget.js). Without that script, as a plain frame, it has no close button.

import { VisitorApi } from "./api.js";
import { Conversation } from "./conversation.js";
import { language } from "./texts.js";
import { createView } from "./view.js";

const config = JSON.parse(document.body.dataset.config);
const query = new URLSearchParams(location.search);
const isEmbedded = query.get("embed") === "1" && window.parent !== window;

/** Send a message to the page. It contains no secrets, so every origin may read it. */
const post = (message) => isEmbedded && window.parent.postMessage(message, "*");

document.documentElement.lang = language;
document.documentElement.dir = query.get("dir") === "rtl" ? "rtl" : "ltr";
setColours(config.colour);

const conversation = new Conversation(new VisitorApi(config.ticket));
const view = createView(conversation, config, isEmbedded ? () => post({ chat: "close" }) : null);
document.body.append(view.element);
conversation.start();

conversation.addEventListener("changed", () => {
  conversation.markRead();
  post({ chat: "unread", count: conversation.unreadCount });
});

let isOpen = !isEmbedded;
const updateVisibility = () => conversation.setVisible(isOpen && !document.hidden);
document.addEventListener("visibilitychange", updateVisibility);

window.addEventListener("message", ({ source, data }) => {
  if (source !== window.parent || !isEmbedded) return;
  if (data?.chat !== "open" && data?.chat !== "closed") return;
  isOpen = data.chat === "open";
  updateVisibility();
  if (isOpen) view.focus();
});

if (isEmbedded) {
  document.addEventListener("keydown", keepFocus);
  post({ chat: "ready", title: config.title });
}

/** Keep the focus in the open chat, until Escape closes it. */
function keepFocus(event) {
  if (event.key === "Escape") {
    event.preventDefault();
    post({ chat: "close" });
  }
  if (event.key !== "Tab") return;
  const elements = [...document.querySelectorAll("button, textarea, a[href], [tabindex='0']")].filter((element) => !element.disabled && element.offsetParent !== null);
  const edge = event.shiftKey ? elements[0] : elements.at(-1);
  const next = event.shiftKey ? elements.at(-1) : elements[0];
  if (document.activeElement !== edge && document.activeElement !== document.body) return;
  event.preventDefault();
  next?.focus();
}

/** Set the colour of the account, with black or white text on it, whichever has more contrast. */
function setColours(colour) {
  const [red, green, blue] = [1, 3, 5].map((start) => {
    const value = parseInt(colour.slice(start, start + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  const isLight = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179;
  document.documentElement.style.setProperty("--colour", colour);
  document.documentElement.style.setProperty("--on-colour", isLight ? "#000" : "#fff");
}
