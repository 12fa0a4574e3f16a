// English texts of the evidence view.

export default {
  protectedTitle: "This PDF is protected with a password",
  protectedText: "The password was used to read the text and then deleted. Enter it to see the page; it is kept only until you close this tab.",
  showPage: "Show the page",
  showTextInstead: "Show the text instead",
};
