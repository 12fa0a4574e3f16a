// German texts of files that are being added.

import { plural } from "../lib/i18n.js";

export default {
  removeFromList: (name) => `${name} aus der Liste entfernen`,
  filePassword: "Passwort der Datei",
  stageWaiting: "Wartet",
  stageSending: (percent) => `Wird gesendet, ${percent}`,
  stageQueued: "Wartet auf die Verarbeitung",
  stageExtracting: "Wird gelesen",
  stageExtractingPage: (page, pages) => `Seite ${page} von ${pages} wird gelesen`,
  stageChunking: "Wird in Abschnitte geteilt",
  stageEmbedding: "Wird indexiert",
  stageIndexing: "Wird indexiert",
  stageReady: "Bereit",
  stageDuplicate: "Schon vorhanden",
  stageFailed: "Fehlgeschlagen",
  uploadError_empty_file: "Die Datei ist leer. Wählen Sie eine andere Datei.",
  uploadError_too_large: "Die Datei ist zu groß. Teilen Sie sie, oder bitten Sie die Administration um eine höhere Grenze.",
  uploadError_unsupported_document: "Dieser Dateityp wird nicht unterstützt. Wandeln Sie die Datei in PDF, Office, HTML oder Text um.",
  uploadError_unreadable_document: "Die Datei ist beschädigt oder passt nicht zu ihrem Typ. Speichern Sie sie in ihrem Programm neu und fügen Sie sie wieder hinzu.",
  uploadError_password_required: "Die Datei ist verschlüsselt. Geben Sie ihr Passwort ein.",
  uploadError_wrong_password: "Das Passwort ist falsch. Geben Sie das Passwort der Datei ein.",
  uploadError_read_only: "Sie können diese Sammlung lesen, aber nichts hinzufügen. Wählen Sie eine andere Sammlung.",
  uploadError_queue_full: "Zu viele Dokumente warten. Versuchen Sie es in einigen Minuten erneut.",
  uploadError_no_text: "Die Datei enthält keinen Text, und in ihren Bildern wurde keiner erkannt. Fügen Sie eine Fassung mit Text hinzu.",
  uploadError_too_slow: "Das Lesen der Datei hat zu lange gedauert. Teilen Sie sie in kleinere Dateien.",
  uploadError_too_complex: "Die Datei ist zu komplex. Speichern Sie sie in einer einfacheren Form, zum Beispiel als PDF.",
  uploadError_too_much_text: "Die Datei enthält zu viel Text. Teilen Sie sie in kleinere Dateien.",
  uploadError_encrypted_office: "Diese Office-Datei ist verschlüsselt. Speichern Sie sie ohne Passwort und fügen Sie sie dann hinzu.",
  retryInterrupted: (count) => plural(count, { one: "# unterbrochene Datei erneut senden", other: "# unterbrochene Dateien erneut senden" }),
};
