// German texts of the graph of a run.

export default {
  runNodes: "Knoten des Laufs",
  runNotRecorded: "Die Zustände dieses Laufs sind nicht gespeichert. Eine Unterhaltung behält die ihrer letzten 20 Läufe.",
  nodeModel: (name) => `Modell ${name}`,
  nodeInput: "Eingabe",
  nodeOutput: "Ausgabe",
  nodeTruncated: "Lange Texte und Listen sind gekürzt.",
  nodeOmitted: "Der Lauf war zu lang, um diesen Zustand zu speichern.",
};
