// Texts of the chat in English and German. Functions take the value in the text.

const TEXTS = {
  en: {
    chat: "Chat",
    close: "Close chat",
    messages: "Messages",
    write: "Write a message",
    send: "Send",
    you: "You",
    assistant: "Assistant",
    colleague: "Team",
    answering: "An answer is being written",
    edited: "edited",
    deleted: "This message was deleted.",
    notSent: "Not sent.",
    tryAgain: "Try again",
    tooMany: (seconds) => `Too many messages. Try again in ${seconds} seconds.`,
    blocked: "This chat is closed.",
    stopped: "This chat is closed at present.",
    offline: "No connection. Trying again.",
    failed: "There is no automatic answer at present. The team sees your message.",
    human: "A member of the team answers now.",
    resolved: "This conversation is closed. Write to open it again.",
    reload: "Load the page again to continue.",
    file: "File",
  },
  de: {
    chat: "Chat",
    close: "Chat schließen",
    messages: "Nachrichten",
    write: "Nachricht schreiben",
    send: "Senden",
    you: "Sie",
    assistant: "Assistent",
    colleague: "Team",
    answering: "Eine Antwort wird geschrieben",
    edited: "bearbeitet",
    deleted: "Diese Nachricht wurde gelöscht.",
    notSent: "Nicht gesendet.",
    tryAgain: "Noch einmal",
    tooMany: (seconds) => `Zu viele Nachrichten. Versuchen Sie es in ${seconds} Sekunden noch einmal.`,
    blocked: "Dieser Chat ist geschlossen.",
    stopped: "Dieser Chat ist zurzeit geschlossen.",
    offline: "Keine Verbindung. Wird noch einmal versucht.",
    failed: "Zurzeit gibt es keine automatische Antwort. Das Team sieht Ihre Nachricht.",
    human: "Jetzt antwortet ein Mitglied des Teams.",
    resolved: "Diese Unterhaltung ist abgeschlossen. Schreiben Sie, um sie wieder zu öffnen.",
    reload: "Laden Sie die Seite neu, um fortzufahren.",
    file: "Datei",
  },
};

const requested = new URLSearchParams(location.search).get("lang") ?? navigator.language;

export const language = requested.toLowerCase().startsWith("de") ? "de" : "en";

/** Return the text *key*; a text that is a function gets *value*. */
export function t(key, value) {
  const text = TEXTS[language][key];
  return typeof text === "function" ? text(value) : text;
}
