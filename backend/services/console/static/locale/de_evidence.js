// German texts of the evidence view.

export default {
  protectedTitle: "Diese PDF-Datei ist mit einem Passwort geschützt",
  protectedText: "Das Passwort wurde zum Lesen des Textes benutzt und dann gelöscht. Geben Sie es ein, um die Seite zu sehen; es bleibt nur erhalten, bis Sie diesen Tab schließen.",
  showPage: "Seite zeigen",
  showTextInstead: "Stattdessen den Text zeigen",
};
