// English texts of the graph of a run.

export default {
  runNodes: "Nodes of the run",
  runNotRecorded: "The states of this run are not stored. A conversation keeps those of its latest 20 runs.",
  nodeModel: (name) => `Model ${name}`,
  nodeInput: "Input",
  nodeOutput: "Output",
  nodeTruncated: "Long texts and lists are cut.",
  nodeOmitted: "The run was too long to store this state.",
};
