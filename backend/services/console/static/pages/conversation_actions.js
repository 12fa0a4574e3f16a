// Rename, export and delete a conversation.

import { t } from "../lib/i18n.js";
import { navigate } from "../lib/router.js";
import * as model from "../model/conversations.js";
import { askForText, confirmAction } from "../ui/dialog.js";
import { downloadText, toFilename } from "../ui/download.js";
import { reportErrors } from "../ui/notice.js";

export async function rename({ id, title }) {
  const changed = await askForText({ title: t("renameConversation"), label: t("conversationTitle"), value: title, action: t("rename") });
  if (changed) await reportErrors(model.renameConversation(id, changed));
}

export async function exportAsMarkdown({ id }) {
  const exported = await reportErrors(model.exportConversation(id, { you: t("you"), assistant: t("assistant"), sources: t("sources") }));
  if (exported) downloadText(exported.text, toFilename(exported.title, "md"), "text/markdown");
}

export async function remove({ id, title }) {
  const isConfirmed = await confirmAction({ title: t("deleteConversation", title), text: t("deleteConversationText"), action: t("delete"), isDanger: true });
  if (!isConfirmed) return;
  await reportErrors(
    model.deleteConversation(id).then(() => {
      if (model.openConversationId.peek() === id) navigate("/");
    }),
  );
}
