// The chat on a web site: a button, and a frame with the conversation.
//
//   <script src="https://HOST/chat/widget.js" data-account="ACCOUNT" async></script>
//
// Optional attributes: data-lang (en or de; by default the language of the page), data-colour
// (#rrggbb of the button). The site needs `script-src HOST; frame-src HOST` in its content security
// policy, and nothing inline: styles are set through the CSSOM, and nothing parses HTML.
(() => {
  "use strict";
  const NAME = "chat-widget";
  const READY_MS = 8000;
  const TEXTS = {
    en: { open: "Open chat", close: "Close chat", title: "Chat", unread: (count) => `Open chat, new messages: ${count}`, failed: "The chat is not available on this site." },
    de: { open: "Chat öffnen", close: "Chat schließen", title: "Chat", unread: (count) => `Chat öffnen, neue Nachrichten: ${count}`, failed: "Der Chat ist auf dieser Website nicht verfügbar." },
  };
  const STYLE = `
    * { box-sizing: border-box; }
    [hidden] { display: none !important; }
    .button { position: fixed; inset-block-end: 16px; inset-inline-end: 16px; z-index: 2147483000; inline-size: 56px; block-size: 56px; padding: 0; border: 2px solid transparent; border-radius: 50%; background: var(--colour); color: var(--on-colour); box-shadow: 0 2px 12px #0005; cursor: pointer; }
    .button:focus-visible { outline: 3px solid var(--colour); outline-offset: 3px; }
    .button svg { display: block; margin: auto; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
    .dot { position: absolute; inset-block-start: -2px; inset-inline-end: -2px; inline-size: 16px; block-size: 16px; border: 2px solid #fff; border-radius: 50%; background: #b91c1c; }
    .panel { position: fixed; inset-block-end: 84px; inset-inline-end: 16px; z-index: 2147483000; inline-size: 380px; max-inline-size: calc(100vw - 32px); block-size: 600px; max-block-size: calc(100vh - 100px); border-radius: 12px; background: Canvas; color: CanvasText; box-shadow: 0 8px 32px #0006; overflow: hidden; color-scheme: light dark; }
    .panel iframe { display: block; inline-size: 100%; block-size: 100%; border: 0; }
    .panel p { margin: 24px; font: 16px/1.5 system-ui, sans-serif; }
    @media (max-width: 480px) { .panel { inset: 0; inline-size: auto; max-inline-size: none; block-size: auto; max-block-size: none; border-radius: 0; } .panel.shown ~ .button { display: none; } }
    @media (prefers-reduced-motion: no-preference) { .panel { animation: appear 0.15s ease-out; } @keyframes appear { from { opacity: 0; transform: translateY(8px); } } }`;

  const script = document.currentScript;
  const account = script?.dataset.account;
  if (!account || document.querySelector(NAME)) return;
  const base = new URL("web/", script.src);
  const lang = (script.dataset.lang || document.documentElement.lang || navigator.language || "en").toLowerCase().startsWith("de") ? "de" : "en";
  const texts = TEXTS[lang];
  const colour = /^#[0-9a-f]{6}$/i.test(script.dataset.colour ?? "") ? script.dataset.colour : "#1d4ed8";

  const element = (name, attributes = {}, namespace = "http://www.w3.org/1999/xhtml") => {
    const created = document.createElementNS(namespace, name);
    for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
    return created;
  };

  /** Return black or white, whichever is easier to read on *background* (WCAG 2.2, relative luminance). */
  const getTextColour = (background) => {
    const [red, green, blue] = [1, 3, 5].map((start) => {
      const value = parseInt(background.slice(start, start + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
  };

  const host = element(NAME);
  const root = host.attachShadow({ mode: "open" });
  const panel = element("div", { class: "panel", role: "dialog", "aria-label": texts.title, hidden: "" });
  const button = element("button", { class: "button", type: "button", "aria-label": texts.open, "aria-haspopup": "dialog", "aria-expanded": "false" });
  const dot = element("span", { class: "dot", hidden: "" });
  let frame = null;
  let isReady = false;

  const post = (message) => frame.contentWindow?.postMessage({ chat: message }, base.origin);

  const createFrame = () => {
    const url = new URL(encodeURIComponent(account), base);
    url.search = new URLSearchParams({ embed: "1", lang, dir: getComputedStyle(document.documentElement).direction });
    frame = element("iframe", { title: texts.title, referrerpolicy: "no-referrer", src: url.href });
    // A browser that refuses the frame, because the account does not list this site, still reports
    // that it has loaded.
    frame.addEventListener("load", () => setTimeout(showFailure, READY_MS), { once: true });
    panel.append(frame);
  };

  const showFailure = () => {
    if (isReady) return;
    console.error(`The chat cannot be shown: add ${location.origin} to the origins of the account ${account}.`);
    const text = element("p", { role: "alert" });
    text.textContent = texts.failed;
    panel.replaceChildren(text);
  };

  const setOpen = (isOpen) => {
    panel.hidden = !isOpen;
    panel.classList.toggle("shown", isOpen);
    button.setAttribute("aria-expanded", String(isOpen));
    button.setAttribute("aria-label", isOpen ? texts.close : texts.open);
    dot.hidden = true;
    if (isOpen && !frame) createFrame();
    if (isOpen) frame.focus();
    else button.focus();
    if (isReady) post(isOpen ? "open" : "closed");
  };

  const receive = ({ source, data, origin }) => {
    if (!frame || source !== frame.contentWindow || origin !== base.origin) return;
    if (data?.chat === "ready") {
      isReady = true;
      if (data.title) panel.setAttribute("aria-label", data.title);
      post(panel.hidden ? "closed" : "open");
    } else if (data?.chat === "close") {
      setOpen(false);
    } else if (data?.chat === "unread" && panel.hidden) {
      dot.hidden = !(data.count > 0);
      button.setAttribute("aria-label", data.count > 0 ? texts.unread(data.count) : texts.open);
    }
  };

  const start = () => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    // Out of the flow, whatever the styles of the page say about the children of its body.
    for (const [name, value] of Object.entries({ all: "initial", position: "fixed", width: "0", height: "0", "--colour": colour, "--on-colour": getTextColour(colour) })) host.style.setProperty(name, value, "important");
    const area = element("div", { lang, dir: getComputedStyle(document.documentElement).direction });
    const icon = element("svg", { width: "28", height: "28", viewBox: "0 0 24 24", "aria-hidden": "true" }, "http://www.w3.org/2000/svg");
    icon.append(element("path", { d: "M4 5h16v11H9l-5 4z" }, "http://www.w3.org/2000/svg"));
    button.append(icon, dot);
    area.append(panel, button);
    root.append(area);
    button.addEventListener("click", () => setOpen(panel.hidden));
    panel.addEventListener("keydown", (event) => event.key === "Escape" && setOpen(false));
    window.addEventListener("message", receive);
    document.body.append(host);
  };

  if (document.body) start();
  else document.addEventListener("DOMContentLoaded", start);
})();
